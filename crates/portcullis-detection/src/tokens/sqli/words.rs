//! Words of SQL that lists decide about.

use crate::tokens::words::Words;

/// Functions of SQL dialects that an operand may call. Sorted.
pub(super) const FUNCTIONS: &[&[u8]] = &[
    b"ascii",
    b"benchmark",
    b"bin",
    b"cast",
    b"char",
    b"char_length",
    b"chr",
    b"coalesce",
    b"concat",
    b"concat_ws",
    b"connection_id",
    b"conv",
    b"convert",
    b"count",
    b"crypt_key",
    b"current_database",
    b"current_setting",
    b"current_user",
    b"database",
    b"db_name",
    b"dbms_pipe.receive_message",
    b"elt",
    b"extractvalue",
    b"floor",
    b"greatest",
    b"group_concat",
    b"hex",
    b"if",
    b"ifnull",
    b"iif",
    b"instr",
    b"isnull",
    b"json_build_object",
    b"json_depth",
    b"json_extract",
    b"json_keys",
    b"json_length",
    b"json_object",
    b"last_insert_id",
    b"least",
    b"length",
    b"load_file",
    b"locate",
    b"lower",
    b"lpad",
    b"make_set",
    b"md5",
    b"mid",
    b"name_const",
    b"nullif",
    b"nvl",
    b"ord",
    b"pg_sleep",
    b"position",
    b"pow",
    b"power",
    b"quote",
    b"rand",
    b"randomblob",
    b"rawtohex",
    b"regexp_substring",
    b"repeat",
    b"replace",
    b"reverse",
    b"row",
    b"row_count",
    b"rpad",
    b"schema",
    b"session_user",
    b"sha1",
    b"sleep",
    b"sqlite_version",
    b"strcmp",
    b"substr",
    b"substring",
    b"suser_name",
    b"sysdate",
    b"system_user",
    b"to_char",
    b"to_number",
    b"unhex",
    b"updatexml",
    b"upper",
    b"user",
    b"user_name",
    b"utl_inaddr.get_host_address",
    b"version",
];

/// Functions that stand for themselves: nothing but SQL has them.
const ONLY_SQL: &[&[u8]] = &[
    b"benchmark",
    b"concat_ws",
    b"current_database",
    b"dblink_connect",
    b"dbms_lock.sleep",
    b"dbms_pipe.receive_message",
    b"dbms_utility.sqlid_to_sqlhash",
    b"extractvalue",
    b"fn_trace_gettable",
    b"group_concat",
    b"gtid_subset",
    b"gtid_subtract",
    b"lo_import",
    b"load_file",
    b"make_set",
    b"name_const",
    b"openquery",
    b"openrowset",
    b"pg_ls_dir",
    b"pg_read_file",
    b"pg_sleep",
    b"query_to_xml",
    b"randomblob",
    b"sys.fn_sqlvarbasetostr",
    b"sys_context",
    b"unhex",
    b"updatexml",
    b"utl_http.request",
    b"utl_inaddr.get_host_address",
    b"utl_inaddr.get_host_name",
    b"xmltype",
];

/// Words that structures begin with, besides functions; of names with a dot, what stands
/// before it.
const BEGINNINGS: &[&[u8]] = &[
    b"all_tables",
    b"alter",
    b"and",
    b"call",
    b"case",
    b"copy",
    b"create",
    b"dbms_lock",
    b"dbms_pipe",
    b"dbms_utility",
    b"declare",
    b"delete",
    b"drop",
    b"exec",
    b"execute",
    b"grant",
    b"group",
    b"having",
    b"information_schema",
    b"insert",
    b"into",
    b"load",
    b"master",
    b"mysql",
    b"nchar",
    b"or",
    b"order",
    b"pg_catalog",
    b"procedure",
    b"replace",
    b"select",
    b"shutdown",
    b"sqlite_master",
    b"sys",
    b"syscolumns",
    b"sysobjects",
    b"truncate",
    b"union",
    b"update",
    b"utl_http",
    b"utl_inaddr",
    b"waitfor",
    b"where",
    b"xor",
];

/// The words of all lists, and of each whether nothing but SQL has it.
static WORDS: Words<bool, 512> = {
    let mut words = Words::none();
    let lists = [(BEGINNINGS, false), (FUNCTIONS, false), (ONLY_SQL, true)];
    let mut list = 0;
    while list < lists.len() {
        let (names, only_sql) = lists[list];
        let mut at = 0;
        while at < names.len() {
            words = words.with(names[at], only_sql);
            at += 1;
        }
        list += 1;
    }
    words
};

/// Whether structures may begin with it.
pub(super) fn may_begin(word: &[u8]) -> bool {
    WORDS.get(word).is_some()
}

/// Whether nothing but SQL has a function of that name.
pub(super) fn is_only_sql(name: &[u8]) -> bool {
    WORDS.get(name).unwrap_or_default()
}

/// What statements create and drop.
pub(super) const OBJECTS: &[&str] = &[
    "table",
    "database",
    "schema",
    "view",
    "index",
    "procedure",
    "proc",
    "function",
    "trigger",
    "user",
    "column",
    "role",
    "login",
    "tablespace",
    "sequence",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_for_the_search() {
        assert!(FUNCTIONS.is_sorted());
    }

    #[test]
    fn names_with_dots_may_begin_by_what_stands_before_the_dot() {
        for name in FUNCTIONS.iter().chain(ONLY_SQL) {
            let first = name.split(|byte| *byte == b'.').next();
            assert!(first.is_some_and(may_begin), "{}", name.escape_ascii());
        }
    }
}
