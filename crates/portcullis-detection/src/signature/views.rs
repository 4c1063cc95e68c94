//! The views of one text: which differ, and their bytes.

use crate::rule::Subject;
use crate::view::{self, Plus, View};

/// A set of [`View`]s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ViewSet(u8);

impl ViewSet {
    pub(super) const EMPTY: Self = Self(0);

    pub(super) const fn of(view: View) -> Self {
        Self(1 << view as u8)
    }

    pub(super) const fn contains(self, view: View) -> bool {
        self.0 & (1 << view as u8) != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) const fn without(self, view: View) -> Self {
        Self(self.0 & !(1 << view as u8))
    }

    /// Of views that one search stands for, those whose bytes differ: all but the raw are
    /// in lower case, so the first of them speaks for the others.
    pub(super) fn distinct(self) -> impl Iterator<Item = View> {
        let raw = self.contains(View::Raw).then_some(View::Raw);
        let lower = [View::Decoded, View::Folded, View::Path];
        raw.into_iter().chain(lower.into_iter().find(|view| self.contains(*view)))
    }

    /// The bits, for packing into a larger mask.
    pub(super) const fn bits(self) -> u8 {
        self.0
    }
}

impl FromIterator<View> for ViewSet {
    fn from_iter<I: IntoIterator<Item = View>>(views: I) -> Self {
        views.into_iter().fold(Self::EMPTY, |set, view| set.union(Self::of(view)))
    }
}

/// One search: the view whose bytes are searched, and all wanted views with those bytes
/// but for the case of letters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass {
    pub(super) searched: View,
    pub(super) views: ViewSet,
}

/// Buffers for the views of one text at a time. Views that are the same share one.
#[derive(Default)]
pub(super) struct Views {
    decoded: Vec<u8>,
    /// The decoded without comments up to the end of a line.
    uncommented: Vec<u8>,
    folded: Vec<u8>,
    path: Vec<u8>,
    spare: Vec<u8>,
    plus: Option<Plus>,
    has_decoded: bool,
    /// Views whose bytes are not those of another: of the decoded, the raw text's in lower
    /// case; of the others, the decoded's.
    distinct: ViewSet,
}

impl Views {
    /// Begins with another text: finds which wanted views differ, computes those, and
    /// returns the searches that cover them all.
    pub(super) fn begin(
        &mut self,
        subject: Subject,
        text: &[u8],
        wanted: ViewSet,
    ) -> [Option<Pass>; 4] {
        let plus = plus_of(subject);
        self.plus = Some(plus);
        self.has_decoded = false;
        let encoded = view::needs_decoding(text, plus);
        self.distinct = if encoded { ViewSet::of(View::Decoded) } else { ViewSet::EMPTY };
        let mut has_line_comments = false;
        if encoded {
            self.compute(text, View::Decoded);
            // While they have an end.
            has_line_comments = wanted.contains(View::Folded)
                && view::without_line_comments(&self.decoded, &mut self.uncommented);
            if matches!(subject, Subject::Values | Subject::Names) {
                // Rules count on one value being one line.
                for byte in &mut self.decoded {
                    if matches!(byte, b'\n' | b'\r') {
                        *byte = b' ';
                    }
                }
            }
        }
        let base = if encoded { &self.decoded[..] } else { text };
        if wanted.contains(View::Folded) && (has_line_comments || view::needs_folding(base)) {
            self.distinct = self.distinct.union(ViewSet::of(View::Folded));
        }
        if wanted.contains(View::Path) && view::needs_path(base) {
            self.distinct = self.distinct.union(ViewSet::of(View::Path));
        }

        let mut passes = [None; 4];
        let mut shared = wanted;
        if encoded {
            passes[0] = wanted
                .contains(View::Raw)
                .then_some(Pass { searched: View::Raw, views: ViewSet::of(View::Raw) });
            shared = shared.without(View::Raw);
        }
        for (view, place) in [(View::Folded, 2), (View::Path, 3)] {
            if self.distinct.contains(view) {
                self.compute(text, View::Decoded);
                let seen_so = if view == View::Folded {
                    let unfolded =
                        if has_line_comments { &self.uncommented } else { &self.decoded };
                    view::fold(unfolded, &mut self.folded, &mut self.spare);
                    &self.folded
                } else {
                    view::path(&self.decoded, &mut self.path);
                    &self.path
                };
                if *seen_so == self.decoded {
                    self.distinct = self.distinct.without(view);
                    continue;
                }
                passes[place] = Some(Pass { searched: view, views: ViewSet::of(view) });
                shared = shared.without(view);
            }
        }
        let searched = if encoded { View::Decoded } else { View::Raw };
        passes[1] = (!shared.is_empty()).then_some(Pass { searched, views: shared });
        passes
    }

    /// Whether any wanted view of a text is not its own bytes but for the case of letters.
    pub(super) fn has_several(subject: Subject, text: &[u8], wanted: ViewSet) -> bool {
        view::needs_decoding(text, plus_of(subject))
            || (wanted.contains(View::Folded) && view::needs_folding(text))
            || (wanted.contains(View::Path) && view::needs_path(text))
    }

    /// Whether the text at hand has more than one form.
    pub(super) const fn several(&self) -> bool {
        !self.distinct.is_empty()
    }

    /// Makes sure that [`Views::get`] has the view's bytes, in lower case.
    pub(super) fn compute(&mut self, text: &[u8], view: View) {
        if view == View::Raw || self.has_decoded {
            return;
        }
        self.has_decoded = true;
        if self.distinct.contains(View::Decoded) {
            let plus = self.plus.unwrap_or(Plus::Literal);
            view::decode(text, plus, &mut self.decoded, &mut self.spare);
        } else {
            self.decoded.clear();
            self.decoded.extend(text.iter().map(u8::to_ascii_lowercase));
        }
    }

    /// The bytes of a view; of any but the raw, [`Views::compute`] comes first.
    pub(super) fn get<'t>(&'t self, text: &'t [u8], view: View) -> &'t [u8] {
        match view {
            View::Raw => text,
            View::Folded if self.distinct.contains(view) => &self.folded,
            View::Path if self.distinct.contains(view) => &self.path,
            View::Decoded | View::Folded | View::Path => &self.decoded,
        }
    }
}

/// What a plus means in a subject.
const fn plus_of(subject: Subject) -> Plus {
    match subject {
        Subject::Query | Subject::Values | Subject::Names | Subject::Referer => Plus::Space,
        _ => Plus::Literal,
    }
}
