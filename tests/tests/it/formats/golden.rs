//! The bytes of each message as they have to stay, and what `protoc --decode` makes of them.

pub(super) const RECORD_BYTES: &str = "\
    0d0100000011020100000000000019f0debc9a7856341221060000000000000028914e30013803400c4a063938373635\
    3452080802100518c0843d5204100718015a2408e90710491a05636166c3a92080d095ffbc312802300538bf843d4003\
    48ffcf95ffbc315a0e08ea0710feffffffffffffffff016a0d0802100518be843d20eb072801";

pub(super) const RECORD_TEXT: &str = r#"format: 1
version: 258
write_id_high: 1311768467463790320
write_id_low: 6
uin: 10001
platform: 1
zone: 3
server: 12
role: "987654"
watermarks {
  incarnation: 2
  partition: 5
  offset: 1000000
}
watermarks {
  partition: 7
  offset: 1
}
achievements {
  type: 1001
  value: -37
  data: "caf\303\251"
  timestamp: 1700000000000
  incarnation: 2
  partition: 5
  offset: 999999
  index: 3
  first_time: 1699999999999
}
achievements {
  type: 1002
  value: 9223372036854775807
}
pending_dead_letters {
  incarnation: 2
  partition: 5
  offset: 999998
  type: 1003
  why: 1
}
"#;

pub(super) const MANIFEST_BYTES: &str = "\
    0d01000000110300000000000000192a0000000000000021060000000000000028914e30013803400c4a063938373635\
    34520410051809621b092a0000000000000011060000000000000020022880d095ffbc31622109290000000000000011\
    04000000000000001801201128ffffffffffffffffff01";

pub(super) const MANIFEST_TEXT: &str = r#"format: 1
version: 3
write_id_high: 42
write_id_low: 6
uin: 10001
platform: 1
zone: 3
server: 12
role: "987654"
watermarks {
  partition: 5
  offset: 9
}
chunks {
  write_id_high: 42
  write_id_low: 6
  achievements: 2
  oldest: 1700000000000
}
chunks {
  write_id_high: 41
  write_id_low: 4
  index: 1
  achievements: 17
  oldest: -1
}
"#;

pub(super) const CHUNK_BYTES: &str = "\
    0d01000000112a00000000000000190600000000000000221708ea0710022081d095ffbc31300538084881d095ffbc31\
    222108e90710011a04746578742080d095ffbc312802300538074001488080babbc82e";

pub(super) const CHUNK_TEXT: &str = r#"format: 1
write_id_high: 42
write_id_low: 6
achievements {
  type: 1002
  value: 1
  timestamp: 1700000000001
  partition: 5
  offset: 8
  first_time: 1700000000001
}
achievements {
  type: 1001
  value: -1
  data: "text"
  timestamp: 1700000000000
  incarnation: 2
  partition: 5
  offset: 7
  index: 1
  first_time: 1600000000000
}
"#;

pub(super) const FENCE_BYTES: &str = "\
    0d01000000112a0000000000000019070000000000000020c0843d28d8fc3c321464656661756c742e61636869657665\
    6d656e74733a10000102030405060708090a0b0c0d0e0f40024864500c";

pub(super) const FENCE_TEXT: &str = r#"format: 1
id_high: 42
id_low: 7
position: 1000000
settled: 999000
owner: "default.achievements"
topic_id: "\000\001\002\003\004\005\006\007\010\t\n\013\014\r\016\017"
incarnation: 2
first: 100
partitions: 12
"#;

pub(super) const REPORT_BYTES: &str = "\
    08914e10011803200c2a06393837363534320b08e90710491a0474657874321108ffffffff0f10ffffffffffffffffff\
    01";

pub(super) const REPORT_TEXT: &str = r#"uin: 10001
platform: 1
zone: 3
server: 12
role: "987654"
items {
  type: 1001
  value: -37
  data: "text"
}
items {
  type: 4294967295
  value: -9223372036854775808
}
"#;

pub(super) const REACHED_BYTES: &str = "\
    0d01000000110400000000000000192a0000000000000021080000000000000028914e52041005180c5a1908e907100d\
    2082d095ffbc313005380b4882d095ffbc315009721408021005180b20e9072809300d3882d095ffbc317a0d0881d095\
    ffbc3110021805200a";

pub(super) const REACHED_TEXT: &str = r#"format: 1
version: 4
write_id_high: 42
write_id_low: 8
uin: 10001
watermarks {
  partition: 5
  offset: 12
}
achievements {
  type: 1001
  value: -7
  timestamp: 1700000000002
  partition: 5
  offset: 11
  first_time: 1700000000002
  announced: -5
}
pending_unlocks {
  incarnation: 2
  partition: 5
  offset: 11
  type: 1001
  tier: -5
  value: -7
  timestamp: 1700000000002
}
deleted {
  timestamp: 1700000000001
  incarnation: 2
  partition: 5
  offset: 10
}
"#;

pub(super) const DELETION_BYTES: &str = "\
    08914e3801";

pub(super) const DELETION_TEXT: &str = r#"uin: 10001
delete: true
"#;

pub(super) const UNLOCK_BYTES: &str = "\
    0a2436363231663132372d393035342d356561352d383036622d31353439666138386231366410914e18012003280c32\
    0639383736353438e90740c70148ef015080d095ffbc31";

pub(super) const UNLOCK_TEXT: &str = r#"id: "6621f127-9054-5ea5-806b-1549fa88b16d"
uin: 10001
platform: 1
zone: 3
server: 12
role: "987654"
type: 1001
tier: -100
value: -120
timestamp: 1700000000000
"#;
