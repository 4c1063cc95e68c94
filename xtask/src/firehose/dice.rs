//! Seeded chance, the only source of it in the simulation.
//!
//! Every actor owns its own dice, derived from the seed and from who the actor
//! is. So adding one actor changes nobody else's behaviour, and the same seed
//! gives the same bytes on every machine: only integers are drawn, because
//! floating-point functions differ between platforms.

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// A seeded source of integers.
#[derive(Debug, Clone)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// Dice for one purpose: `who` and `number` keep purposes apart.
    pub(crate) fn new(seed: u64, who: &str, number: u64) -> Self {
        // FNV-1a mixes the purpose into the seed; ChaCha does the rest.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let parts = [&seed.to_le_bytes()[..], who.as_bytes(), &number.to_le_bytes()[..]];
        for byte in parts.concat() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(ChaCha8Rng::seed_from_u64(hash))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0.random_range(low..=high)
    }

    /// True `permille` times in a thousand.
    pub(crate) fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// One of the choices, each as likely.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A random (version 4) UUID in lower case.
    pub(crate) fn uuid(&mut self) -> [u8; 36] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let high = (self.bits() & !0xf000) | 0x4000;
        let low = (self.bits() & !(3 << 62)) | (1 << 63);
        let mut text = [b'-'; 36];
        let mut position = 0;
        for nibble in 0..32_u32 {
            let half = if nibble < 16 { high } else { low };
            if matches!(nibble, 8 | 12 | 16 | 20) {
                position += 1;
            }
            text[position] = HEX[(half >> (60 - 4 * (nibble % 16)) & 15) as usize];
            position += 1;
        }
        text
    }

    /// A 16-character id ending in `=`, the shape of `$context.extendedRequestId`.
    pub(crate) fn gateway_id(&mut self) -> [u8; 16] {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let (mut first, mut second) = (self.bits(), self.bits());
        let mut text = [b'='; 16];
        for character in &mut text[..8] {
            *character = ALPHABET[(first & 63) as usize];
            first >>= 6;
        }
        for character in &mut text[8..15] {
            *character = ALPHABET[(second & 63) as usize];
            second >>= 6;
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_purpose_draws_the_same_numbers() {
        let draw = |who| {
            let mut dice = Dice::new(7, who, 1);
            [dice.below(1_000), dice.below(1_000), dice.below(1_000), dice.below(1_000)]
        };
        assert_eq!(draw("mobile"), draw("mobile"));
        assert_ne!(draw("mobile"), draw("web"));
    }

    #[test]
    fn ids_have_the_shapes_of_the_gateway() {
        let mut dice = Dice::new(7, "ids", 0);
        for _ in 0..100 {
            let uuid = dice.uuid();
            assert_eq!(uuid.split(|&byte| byte == b'-').count(), 5);
            assert_eq!(uuid[14], b'4', "version nibble");
            assert!(b"89ab".contains(&uuid[19]), "variant nibble");
            assert_eq!(dice.gateway_id().iter().position(|&byte| byte == b'='), Some(15));
        }
    }
}
