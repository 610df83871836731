//! Which units of a recording a file is made of.

use pegasus_continuous::UnitNumber;

/// The number of each unit of a file. Most follow one another, so only where one does not costs memory: at
/// the ends of the range, and at what was deleted.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// Place in the file and number of the first unit of each run.
    runs: Vec<(u64, UnitNumber)>,
    len: u64,
}

impl Numbers {
    /// The next unit of the file is `number`.
    pub(crate) fn push(&mut self, number: UnitNumber) {
        let follows =
            self.runs.last().is_some_and(|(at, first)| first.0 + (self.len - at) == number.0);
        if !follows {
            self.runs.push((self.len, number));
        }
        self.len += 1;
    }

    /// The number of the unit at place `index` of the file.
    ///
    /// # Panics
    /// If the file has fewer units.
    pub(crate) fn get(&self, index: u64) -> UnitNumber {
        assert!(index < self.len, "unit {index} of a file of {}", self.len);
        let after = self.runs.partition_point(|(at, _)| *at <= index);
        let (at, first) = self.runs[after - 1];
        UnitNumber(first.0 + (index - at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back() {
        let numbers = [3, 4, 5, 9, 11, 12, 13, 14, 40];
        let mut file = Numbers::default();
        numbers.iter().for_each(|&number| file.push(UnitNumber(number)));
        assert_eq!(file.runs.len(), 4);
        let back: Vec<u64> = (0..numbers.len() as u64).map(|index| file.get(index).0).collect();
        assert_eq!(back, numbers);
    }
}
