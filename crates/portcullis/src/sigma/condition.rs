//! The condition of a Sigma rule: `selection and not 1 of filter*`.

/// A tree over names of selections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    Name(String),
    Not(Box<Tree>),
    All(Vec<Tree>),
    Any(Vec<Tree>),
}

/// Deepest nesting of parentheses and negations.
const DEEPEST: usize = 32;

/// Reads a condition; `names` are the selections there are, for `1 of selection*`.
pub(super) fn read(text: &str, names: &[&str]) -> Result<Tree, String> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('|', " | ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    if words.contains(&"|") {
        return Err("counting over several events (`|`) is no signature".to_owned());
    }
    let mut reader = Reader { words: &words, names };
    let tree = reader.any(DEEPEST)?;
    match reader.words.first() {
        None => Ok(tree),
        Some(word) => Err(format!("`{word}` where the condition should end")),
    }
}

struct Reader<'c> {
    words: &'c [&'c str],
    names: &'c [&'c str],
}

impl<'c> Reader<'c> {
    fn next(&mut self) -> Option<&'c str> {
        let (word, rest) = self.words.split_first()?;
        self.words = rest;
        Some(word)
    }

    fn next_is(&mut self, keyword: &str) -> bool {
        let is_it = self.words.first().is_some_and(|word| word.eq_ignore_ascii_case(keyword));
        if is_it {
            self.words = &self.words[1..];
        }
        is_it
    }

    fn any(&mut self, depth: usize) -> Result<Tree, String> {
        let mut parts = vec![self.all(depth)?];
        while self.next_is("or") {
            parts.push(self.all(depth)?);
        }
        Ok(joined(parts, Tree::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Tree, String> {
        let mut parts = vec![self.one(depth)?];
        while self.next_is("and") {
            parts.push(self.one(depth)?);
        }
        Ok(joined(parts, Tree::All))
    }

    fn one(&mut self, depth: usize) -> Result<Tree, String> {
        let depth = depth.checked_sub(1).ok_or("nested too deep")?;
        if self.next_is("not") {
            return Ok(Tree::Not(Box::new(self.one(depth)?)));
        }
        let word = self.next().ok_or("the condition ends too early")?;
        if word == "(" {
            let tree = self.any(depth)?;
            return match self.next() {
                Some(")") => Ok(tree),
                _ => Err("a parenthesis is not closed".to_owned()),
            };
        }
        if self.next_is("of") {
            let which = self.next().ok_or("nothing after `of`")?;
            let parts: Vec<Tree> = self.matching(which)?.map(Tree::Name).collect();
            if parts.is_empty() {
                return Err(format!("no selection is called `{which}`"));
            }
            return match word.to_ascii_lowercase().as_str() {
                "1" | "any" => Ok(joined(parts, Tree::Any)),
                "all" => Ok(joined(parts, Tree::All)),
                _ => Err(format!("`{word} of` is neither `1 of` nor `all of`")),
            };
        }
        if self.names.contains(&word) {
            return Ok(Tree::Name(word.to_owned()));
        }
        Err(format!("no selection is called `{word}`"))
    }

    /// The selections that `them`, `name` or `name*` means.
    fn matching(&self, which: &str) -> Result<impl Iterator<Item = String>, String> {
        let (prefix, is_whole) = match which.strip_suffix('*') {
            Some(prefix) => (prefix, false),
            None if which == "them" => ("", false),
            None => (which, true),
        };
        if prefix.contains('*') {
            return Err(format!("`{which}` has a wildcard that is not at its end"));
        }
        let prefix = prefix.to_owned();
        let names = self.names.iter().filter(move |name| {
            if is_whole {
                **name == prefix
            } else {
                name.starts_with(&prefix) && !name.starts_with('_')
            }
        });
        Ok(names.map(|name| (*name).to_owned()).collect::<Vec<_>>().into_iter())
    }
}

fn joined(mut parts: Vec<Tree>, join: impl FnOnce(Vec<Tree>) -> Tree) -> Tree {
    if parts.len() == 1 { parts.swap_remove(0) } else { join(parts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["selection", "selection_uri", "filter_a", "_hidden"];

    fn shown(tree: &Tree) -> String {
        let list = |parts: &[Tree]| parts.iter().map(shown).collect::<Vec<_>>().join(" ");
        match tree {
            Tree::Name(name) => name.clone(),
            Tree::Not(tree) => format!("(not {})", shown(tree)),
            Tree::All(parts) => format!("(and {})", list(parts)),
            Tree::Any(parts) => format!("(or {})", list(parts)),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let read = read(text, &NAMES).map(|tree| shown(&tree));
        assert_eq!(read.unwrap_or_else(|error| format!("error: {error}")), expected);
    }

    #[test]
    fn and_binds_tighter_than_or_and_not_tightest() {
        check("selection", "selection");
        check(
            "selection or selection_uri AND not filter_a",
            "(or selection (and selection_uri (not filter_a)))",
        );
        check(
            "(selection or selection_uri) and not (filter_a)",
            "(and (or selection selection_uri) (not filter_a))",
        );
    }

    #[test]
    fn quantities_are_spelt_out() {
        check("1 of selection*", "(or selection selection_uri)");
        check(
            "all of selection* and not 1 of filter*",
            "(and (and selection selection_uri) (not filter_a))",
        );
        check("all of them", "(and selection selection_uri filter_a)");
        check("any of selection", "selection");
    }

    #[test]
    fn what_is_no_condition_is_told() {
        check("selection and", "error: the condition ends too early");
        check("(selection", "error: a parenthesis is not closed");
        check("other", "error: no selection is called `other`");
        check("2 of selection*", "error: `2 of` is neither `1 of` nor `all of`");
        check(
            "selection | count() > 5",
            "error: counting over several events (`|`) is no signature",
        );
        check("selection filter_a", "error: `filter_a` where the condition should end");
        check("1 of nothing*", "error: no selection is called `nothing*`");
        check(&"not ".repeat(40), "error: nested too deep");
    }
}
