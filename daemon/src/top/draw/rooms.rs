//! Who gets how many rows of what is left of the screen. Pure.

/// Rows of the plots where there is much room, little, and none.
const PLOTS: [(u16, u16); 3] = [(14, 8), (8, 5), (0, 0)];
/// More changes than these are for the status page.
const CHANGES_MAX: usize = 12;
/// More troubles than these do not help.
const TROUBLES_MAX: usize = 3;

/// How many entries each list has; those of a list with a head take a row more.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wants {
    pub(super) troubles: usize,
    pub(super) sources: usize,
    pub(super) partitions: usize,
    pub(super) changes: usize,
}

/// Rows for each, heads included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rooms {
    pub(super) plots: u16,
    pub(super) troubles: usize,
    pub(super) sources: usize,
    pub(super) partitions: usize,
    pub(super) changes: usize,
}

impl Rooms {
    pub(super) fn of(rows: u16, wants: Wants) -> Self {
        let troubles = wants.troubles.min(TROUBLES_MAX).min(usize::from(rows));
        let rows = rows.saturating_sub(u16::try_from(troubles).unwrap_or(rows));
        let plots = PLOTS.iter().find(|(from, _)| rows >= *from).map_or(0, |(_, height)| *height);
        // A blank row stands before the plots.
        let left = usize::from(rows.saturating_sub(plots + u16::from(plots > 0)));
        let wanted = [wants.sources, wants.partitions, wants.changes.min(CHANGES_MAX)];
        let [sources, partitions, changes] =
            share(left, wanted.map(|rows| if rows == 0 { 0 } else { rows + 1 }));
        Self { plots, troubles, sources, partitions, changes }
    }
}

/// Each first gets a head and one row, in their order, then all get the rest in turn.
fn share(mut left: usize, wanted: [usize; 3]) -> [usize; 3] {
    let mut given = [0; 3];
    for (given, wanted) in given.iter_mut().zip(wanted) {
        if wanted > 0 && left >= 2 {
            *given = 2;
            left -= 2;
        }
    }
    while let Some(at) =
        (0..3).filter(|at| given[*at] > 0 && given[*at] < wanted[*at]).min_by_key(|at| given[*at])
    {
        if left == 0 {
            break;
        }
        given[at] += 1;
        left -= 1;
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_gets_a_row_before_any_gets_many() {
        assert_eq!(share(0, [5, 5, 5]), [0, 0, 0]);
        assert_eq!(share(5, [5, 5, 5]), [3, 2, 0], "a head alone is no use");
        assert_eq!(share(9, [2, 0, 20]), [2, 0, 7]);
        assert_eq!(share(12, [20, 3, 20]), [5, 3, 4]);
        assert_eq!(share(100, [4, 3, 2]), [4, 3, 2]);
    }

    #[test]
    fn troubles_come_before_plots_and_plots_before_lists() {
        let wants = Wants { troubles: 9, sources: 2, partitions: 0, changes: 90 };
        let rooms = |rows| Rooms::of(rows, wants);
        assert_eq!(rooms(2), Rooms { troubles: 2, ..Rooms::default() });
        assert_eq!(rooms(12), Rooms { plots: 5, troubles: 3, sources: 3, ..Rooms::default() });
        assert_eq!(rooms(80), Rooms { plots: 8, troubles: 3, sources: 3, partitions: 0, changes: 13 });
    }
}
