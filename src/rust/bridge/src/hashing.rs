//! From keys to codes: a table when keys are small integers, open addressing otherwise.

/// Remembers the code of each key.
pub trait CodeMap {
    /// The code of `key`; `next` becomes its code when the key is new.
    fn code(&mut self, key: u64, next: i32) -> i32;
}

/// Keys 0..size, one slot each.
pub struct Dense {
    slots: Vec<i32>,
}

impl Dense {
    /// Room for the keys 0..size.
    pub fn new(size: usize) -> Self {
        Dense { slots: vec![0; size] }
    }
}

impl CodeMap for Dense {
    #[inline]
    fn code(&mut self, key: u64, next: i32) -> i32 {
        let slot = &mut self.slots[key as usize];
        if *slot == 0 {
            *slot = next;
        }
        *slot
    }
}

/// Any keys: linear probing in a table that is at most half full.
pub struct Hashed {
    slots: Vec<(u64, i32)>,
    used: usize,
    shift: u32,
}

impl Hashed {
    /// A small table that grows as keys arrive.
    pub fn new() -> Self {
        Hashed::with_bits(8)
    }

    fn with_bits(bits: u32) -> Self {
        Hashed { slots: vec![(0, 0); 1 << bits], used: 0, shift: 64 - bits }
    }

    /// The slot that holds `key`, or the free one where it belongs.
    #[inline]
    fn find(&self, key: u64) -> usize {
        // Fibonacci hashing; folding first, because doubles and pointers differ mostly in their upper bits
        let mixed = (key ^ (key >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut slot = (mixed >> self.shift) as usize;
        while self.slots[slot].1 != 0 && self.slots[slot].0 != key {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        slot
    }

    fn grow(&mut self) {
        let mut larger = Hashed::with_bits(64 - self.shift + 1);
        for &(key, code) in self.slots.iter().filter(|slot| slot.1 != 0) {
            let slot = larger.find(key);
            larger.slots[slot] = (key, code);
        }
        larger.used = self.used;
        *self = larger;
    }
}

impl CodeMap for Hashed {
    #[inline]
    fn code(&mut self, key: u64, next: i32) -> i32 {
        let slot = self.find(key);
        if self.slots[slot].1 != 0 {
            return self.slots[slot].1;
        }
        self.slots[slot] = (key, next);
        self.used += 1;
        if self.used * 2 > self.slots.len() {
            self.grow();
        }
        next
    }
}
