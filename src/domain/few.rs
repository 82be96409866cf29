//! A list that nearly always has one item: no allocation until there are two.

/// The list, in the order in which items came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Few<T> {
    #[default]
    None,
    One(T),
    /// Boxed, so that a list is no larger than its one item needs.
    Many(Box<Vec<T>>),
}

impl<T> Few<T> {
    pub fn as_slice(&self) -> &[T] {
        match self {
            Few::None => &[],
            Few::One(item) => std::slice::from_ref(item),
            Few::Many(items) => items,
        }
    }

    pub fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Few::None => &mut [],
            Few::One(item) => std::slice::from_mut(item),
            Few::Many(items) => items,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    pub fn push(&mut self, item: T) {
        *self = match std::mem::take(self) {
            Few::None => Few::One(item),
            Few::One(first) => Few::Many(Box::new(vec![first, item])),
            Few::Many(mut items) => {
                items.push(item);
                Few::Many(items)
            }
        };
    }

    /// Keeps the items for which `keep` holds.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        *self = match std::mem::take(self) {
            Few::None => Few::None,
            Few::One(item) => Some(item).into_iter().filter(keep).collect(),
            Few::Many(mut items) => {
                items.retain(keep);
                items.into_iter().collect()
            }
        };
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Few<T> {
        let mut few = Few::None;
        items.into_iter().for_each(|item| few.push(item));
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_as_a_list(steps in proptest::collection::vec((any::<bool>(), 0u8..4), 0..20)) {
            let (mut few, mut list) = (Few::None, Vec::new());
            for (push, item) in steps {
                if push {
                    few.push(item);
                    list.push(item);
                } else {
                    few.retain(|other| *other != item);
                    list.retain(|other| *other != item);
                }
                prop_assert_eq!(few.as_slice(), &list[..]);
                prop_assert_eq!(few.as_mut_slice(), &mut list[..]);
                prop_assert_eq!(few.is_empty(), list.is_empty());
            }
        }
    }
}
