//! Unlocks as they are sent: a record keyed by UIN, with an ID that is the same each time.

use plaudit_crds::Format;
use prost::Message as _;
use uuid::Uuid;

use crate::lane::ports::Unlock;
use crate::proto;

/// The namespace of unlock IDs, itself the version-5 UUID of the DNS name `unlocks.plaudit.dev`.
const NAMESPACE: Uuid = Uuid::from_u128(0xba62_59bc_f91e_556f_bfcb_6197_e437_8d82);

/// An unlock as it is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    pub id: String,
    pub key: String,
    pub value: Vec<u8>,
}

pub(super) fn announcement(unlock: &Unlock, group: &str, format: Format) -> Announcement {
    let id = id(unlock, group);
    let value = match format {
        Format::Json => json(unlock, &id),
        Format::Protobuf => protobuf(unlock, &id),
    };
    Announcement { id, key: unlock.player.uin.to_string(), value }
}

/// UUID version 5 of `<group>/<incarnation>/<uin>:<platform>:<zone>:<server>:<type>:<tier>:<role>`.
fn id(unlock: &Unlock, group: &str) -> String {
    let Unlock { player, incarnation, kind, tier, .. } = unlock;
    let name = format!(
        "{group}/{incarnation}/{}:{}:{}:{}:{kind}:{tier}:{}",
        player.uin, player.platform, player.zone, player.server, player.role
    );
    Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
}

fn json(unlock: &Unlock, id: &str) -> Vec<u8> {
    let player = &unlock.player;
    let value = serde_json::json!({
        "id": id,
        "uin": player.uin,
        "platform": player.platform,
        "zone": player.zone,
        "server": player.server,
        "role": &*player.role,
        "type": unlock.kind,
        "tier": unlock.tier,
        "value": unlock.value,
        "timestamp": unlock.timestamp,
    });
    value.to_string().into_bytes()
}

fn protobuf(unlock: &Unlock, id: &str) -> Vec<u8> {
    let player = &unlock.player;
    let message = proto::Unlock {
        id: id.to_owned(),
        uin: player.uin,
        platform: player.platform,
        zone: player.zone,
        server: player.server,
        role: player.role.to_string(),
        r#type: unlock.kind,
        tier: unlock.tier,
        value: unlock.value,
        timestamp: unlock.timestamp,
    };
    message.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::player::PlayerId;

    fn unlock() -> Unlock {
        let player = PlayerId { uin: 10_001, platform: 1, zone: 3, server: 12, role: "987654".into() };
        Unlock { player, incarnation: 0, kind: 1_001, tier: 100, value: 120, timestamp: 1_700_000_000_000 }
    }

    #[test]
    fn the_namespace_is_what_it_says() {
        assert_eq!(Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"unlocks.plaudit.dev"), NAMESPACE);
    }

    #[test]
    fn the_documented_unlock_stays() {
        let announcement = announcement(&unlock(), "default.achievements", Format::Json);
        let value: serde_json::Value = serde_json::from_slice(&announcement.value).unwrap();
        let expected = serde_json::json!({
            "id": "6621f127-9054-5ea5-806b-1549fa88b16d", "uin": 10001, "platform": 1, "zone": 3, "server": 12,
            "role": "987654", "type": 1001, "tier": 100, "value": 120, "timestamp": 1_700_000_000_000_i64,
        });
        assert_eq!((value, announcement.key.as_str()), (expected, "10001"));
    }

    #[test]
    fn an_id_depends_on_the_tier_and_not_on_the_value() {
        let id = |unlock: &Unlock, group| announcement(unlock, group, Format::Protobuf).id;
        let same = Unlock { value: 150, timestamp: 7, ..unlock() };
        let others = [
            Unlock { tier: 101, ..unlock() },
            Unlock { kind: 1, ..unlock() },
            Unlock { incarnation: 1, ..unlock() },
            Unlock { player: PlayerId { role: "".into(), ..unlock().player }, ..unlock() },
        ];
        assert_eq!(id(&same, "g"), id(&unlock(), "g"));
        assert!(others.iter().all(|other| id(other, "g") != id(&unlock(), "g")));
        assert_ne!(id(&unlock(), "g"), id(&unlock(), "h"));
    }
}
