//! Functions that queries of products never call.

use crate::tokens::words::Words;

/// What tells of the server or delays it, or takes texts apart, is no query of a product.
static NEVER_CALLED: Words<(), 256> = Words::listed(
    "ascii benchmark bin cast char char_length chr conv convert current_user database \
    dbms_pipe elt eval exec exists extractvalue hex if ifnull iif instr left len length \
    load_extension load_file locate make_set md5 mid ord pg_sleep position quote randomblob \
    reverse right rlike session_user sha1 sleep soundex strcmp substr substring \
    substring_index system_user unhex updatexml user version waitfor xmltype",
    (),
);

/// What names of such functions begin with.
const OF_SERVERS: [&[u8]; 8] =
    [b"pg_", b"dblink", b"current_", b"lo_", b"xp_", b"utl_", b"dbms_", b"sqlite_"];

/// Whether a function is one of those, whatever it is a part of.
pub(super) fn is_never_called(name: &[u8]) -> bool {
    let name = name.rsplit(|byte| *byte == b'.').next().unwrap_or(name);
    NEVER_CALLED.get(name).is_some() || OF_SERVERS.iter().any(|of| name.starts_with(of))
}
