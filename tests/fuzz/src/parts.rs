//! One input cut into several: each part is two bytes of length, little-endian, and so many bytes, or as many as there are.

/// The parts of an input.
#[must_use]
pub fn of(mut input: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some((len, rest)) = input.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        let (part, rest) = rest.split_at(len);
        parts.push(part);
        input = rest;
    }
    parts
}

/// Whole numbers, as many as there are bytes for; then zeros.
pub fn numbers(input: &[u8]) -> impl Iterator<Item = i64> + use<'_> {
    let numbers = input.chunks(8).map(|bytes| {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        i64::from_le_bytes(whole)
    });
    numbers.chain(std::iter::repeat(0))
}
