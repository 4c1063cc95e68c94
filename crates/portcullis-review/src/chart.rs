//! Charts as the outlines of SVG paths.
//!
//! A page without script and without inline style can still draw: colours come from the
//! page's style sheet by class, so that light, dark and print each have their own, and
//! a layer of bars is one path. A general plotting library fixes its colours and its fonts
//! in the drawing, which is why none is used.

use std::fmt::Write as _;

/// Height of the drawing box; its width is one for each cell.
pub(crate) const HEIGHT: u32 = 100;

/// Steps of a heat strip.
pub(crate) const STEPS: usize = 4;

/// Outlines of stacked bars, the lowest layer first, so that `highest` fills the box.
/// A layer that is there is seen, however small.
pub(crate) fn stacked<const LAYERS: usize>(
    cells: &[[u64; LAYERS]],
    highest: u64,
) -> [String; LAYERS] {
    let mut outlines = [const { String::new() }; LAYERS];
    for (x, layers) in cells.iter().enumerate() {
        let mut top = f64::from(HEIGHT);
        for (value, outline) in layers.iter().zip(&mut outlines) {
            if *value == 0 {
                continue;
            }
            let height = *value as f64 * f64::from(HEIGHT) / highest.max(1) as f64;
            let height = height.max(1.5).min(top);
            let _ = write!(outline, "M{x}.1 {top:.1}v-{height:.1}h.8v{height:.1}z");
            top -= height;
        }
    }
    outlines
}

/// Outlines of a heat strip: one for each step, the faintest first, by share of `highest`.
pub(crate) fn heat(cells: &[u64], highest: u64) -> [String; STEPS] {
    let mut outlines = [const { String::new() }; STEPS];
    for (x, value) in cells.iter().enumerate().filter(|(_, value)| **value > 0) {
        // Roots, because one burst would leave all else invisible.
        let share = (*value as f64 / highest.max(1) as f64).sqrt();
        let step = ((share * STEPS as f64).ceil() as usize).clamp(1, STEPS) - 1;
        let _ = write!(outlines[step], "M{x} 0h1v{HEIGHT}h-1z");
    }
    outlines
}

/// The least round number that is not below `value`: 1, 2 or 5 and zeros. It is even
/// where its half is to be a label too.
pub(crate) fn round_up(value: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for factor in [2, 4, 6, 10] {
            if unit.saturating_mul(factor) >= value {
                return unit.saturating_mul(factor);
            }
        }
        unit = unit.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_stand_on_each_other_and_stay_visible() {
        let [lower, upper] = stacked(&[[50, 50], [0, 1]], 1_000);
        assert_eq!(lower, "M0.1 100.0v-5.0h.8v5.0z");
        assert_eq!(upper, "M0.1 95.0v-5.0h.8v5.0zM1.1 100.0v-1.5h.8v1.5z");
    }

    #[test]
    fn scales_end_at_round_numbers() {
        let rounded = [0, 1, 3, 5, 9, 11, 412, 1_001, u64::MAX].map(round_up);
        assert_eq!(rounded, [2, 2, 4, 6, 10, 20, 600, 2_000, u64::MAX]);
    }

    #[test]
    fn heat_has_its_steps_and_nothing_where_nothing_was() {
        let steps = heat(&[0, 1, 100], 100);
        assert_eq!(steps[0], "M1 0h1v100h-1z");
        assert_eq!(steps[3], "M2 0h1v100h-1z");
    }
}
