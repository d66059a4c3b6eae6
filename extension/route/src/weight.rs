//! Choice among weighted backends.

/// Items with a share each; built once, picked from with a random number.
#[derive(Debug, Clone)]
pub struct Weighted<T> {
    /// Items of weight above zero with the sum of all weights up to and including their own.
    items: Vec<(u64, T)>,
}

impl<T> Weighted<T> {
    /// Items of weight 0 are never picked.
    pub fn new(items: impl IntoIterator<Item = (u32, T)>) -> Self {
        let mut sum = 0_u64;
        let items = items
            .into_iter()
            .filter(|(weight, _)| *weight > 0)
            .map(|(weight, item)| {
                sum += u64::from(weight);
                (sum, item)
            })
            .collect();
        Self { items }
    }

    /// The item in whose share `random` falls, when `random` is uniform over all of `u64`; none when every weight
    /// is 0 (HTTPBackendRef.weight: such a rule answers 500).
    pub fn pick(&self, random: u64) -> Option<&T> {
        let total = self.items.last()?.0;
        // Scaled down, which unlike a remainder favours no item.
        let point = u64::try_from((u128::from(random) * u128::from(total)) >> 64).ok()?;
        let index = self.items.partition_point(|(end, _)| *end <= point);
        self.items.get(index).map(|(_, item)| item)
    }

    /// All items that can be picked.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|(_, item)| item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_are_exact_and_weight_zero_is_never_picked(weights in proptest::collection::vec(0..20_u32, 1..6)) {
            let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            let weighted = Weighted::new(weights.iter().copied().zip(0..));
            if total == 0 {
                prop_assert_eq!(weighted.pick(7), None);
                return Ok(());
            }
            // The middle of each of `total` equal parts of the range.
            let mut picked = vec![0_u32; weights.len()];
            for part in 0..total {
                let random = (((u128::from(part) * 2 + 1) << 64) / (u128::from(total) * 2)) as u64;
                let index: usize = *weighted.pick(random).unwrap();
                picked[index] += 1;
            }
            prop_assert_eq!(picked, weights);
        }

        #[test]
        fn every_random_number_picks_something(weights in proptest::collection::vec(1..=u32::MAX, 1..6), random: u64) {
            prop_assert!(Weighted::new(weights.into_iter().zip(0..)).pick(random).is_some());
        }
    }

    #[test]
    fn nothing_to_pick_from_is_none() {
        assert_eq!(Weighted::<()>::new([]).pick(0), None);
        assert_eq!(Weighted::new([(0, ())]).pick(u64::MAX), None);
    }
}
