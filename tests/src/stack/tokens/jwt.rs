//! A JSON web token says who somebody is, for how long, and is signed (RFC 7519, ES256: RFC 7518 section 3.4).

use anyhow::{Context, Result};
use openssl::base64;
use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::Private;
use openssl::sha::sha256;
use serde_json::{Value, json};

/// Bytes of a coordinate, and of half a signature, on the curve P-256.
const WIDTH: i32 = 32;
/// There is only one key.
const KEY_ID: &str = "1";

/// Holds the key that tokens are signed by.
#[derive(Debug)]
pub(super) struct Signer {
    key: EcKey<Private>,
    keys: Value,
}

/// What a token says. Times are seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claims<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) audience: &'a str,
    pub(super) scope: Option<&'a str>,
    pub(super) begin: u64,
    pub(super) end: u64,
}

impl Signer {
    /// With a new key.
    pub(super) fn new() -> Result<Self> {
        let make = || {
            let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
            let key = EcKey::generate(&group)?;
            let (mut x, mut y) = (BigNum::new()?, BigNum::new()?);
            key.public_key().affine_coordinates(&group, &mut x, &mut y, &mut *BigNumContext::new()?)?;
            let public = json!({
                "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
                "x": url_safe(&bytes(&x)?), "y": url_safe(&bytes(&y)?),
            });
            Ok::<_, ErrorStack>(Self { key, keys: json!({"keys": [public]}) })
        };
        make().context("could not make the key of a token endpoint")
    }

    /// The public part of its key, as a JSON web key set (RFC 7517).
    pub(super) fn keys(&self) -> Value {
        self.keys.clone()
    }

    pub(super) fn sign(&self, claims: &Claims<'_>) -> Result<String> {
        let head = json!({"alg": "ES256", "typ": "JWT", "kid": KEY_ID});
        let mut body = json!({
            "iss": claims.issuer, "sub": claims.subject, "aud": claims.audience,
            "iat": claims.begin, "exp": claims.end,
        });
        if let Some(scope) = claims.scope {
            body["scope"] = scope.into();
        }
        let signed =
            format!("{}.{}", url_safe(head.to_string().as_bytes()), url_safe(body.to_string().as_bytes()));
        let sign = || {
            let signature = EcdsaSig::sign(&sha256(signed.as_bytes()), &self.key)?;
            Ok::<_, ErrorStack>([bytes(signature.r())?, bytes(signature.s())?].concat())
        };
        let signature = sign().context("could not sign a token")?;
        Ok(format!("{signed}.{}", url_safe(&signature)))
    }
}

fn bytes(number: &BigNumRef) -> Result<Vec<u8>, ErrorStack> {
    number.to_vec_padded(WIDTH)
}

/// The alphabet of URLs, without padding (RFC 4648 section 5).
fn url_safe(bytes: &[u8]) -> String {
    base64::encode_block(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_key_fits_the_signature_of_a_token() -> Result<()> {
        let signer = Signer::new()?;
        let claims = Claims {
            issuer: "https://127.0.0.1:1",
            subject: "worker",
            audience: "kafka",
            scope: Some("a b"),
            begin: 1,
            end: 2,
        };

        let token = signer.sign(&claims)?;

        let parts: Vec<&str> = token.split('.').collect();
        let decode = |part: &str| {
            let padded = format!("{part}{}", "=".repeat((4 - part.len() % 4) % 4));
            base64::decode_block(&padded.replace('-', "+").replace('_', "/"))
        };
        let number =
            |name: &str| BigNum::from_slice(&decode(signer.keys()["keys"][0][name].as_str().unwrap())?);
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let public = EcKey::from_public_key_affine_coordinates(&group, &*number("x")?, &*number("y")?)?;
        let halves = decode(parts[2])?;
        let (r, s) = halves.split_at(32);
        let signature = EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?;
        let fits = signature.verify(&sha256(format!("{}.{}", parts[0], parts[1]).as_bytes()), &public)?;
        let body: Value = serde_json::from_slice(&decode(parts[1])?)?;
        let said = json!({
            "iss": "https://127.0.0.1:1", "sub": "worker", "aud": "kafka", "scope": "a b", "iat": 1, "exp": 2,
        });
        assert_eq!((parts.len(), fits, body), (3, true, said));
        Ok(())
    }
}
