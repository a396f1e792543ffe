//! Whose turn it is, and when nobody's comes any more.

/// One lane's nodes that are to be changed, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Places of the nodes.
    pub nodes: Vec<usize>,
    /// So many of them at a time.
    pub width: usize,
    /// The first one goes alone: nobody else of the lane begins before it has ended as wanted.
    pub canary: bool,
}

/// The state of a rolling run. Nothing begins once a node did not end as wanted; what runs is left to end.
#[derive(Clone, Debug)]
pub struct Rolling {
    lanes: Vec<Progress>,
    at_once: usize,
    /// Somebody of the whole command has ended as wanted, or no canary is asked for.
    trusted: bool,
    halted: bool,
}

#[derive(Clone, Debug)]
struct Progress {
    waiting: std::collections::VecDeque<usize>,
    running: Vec<usize>,
    width: usize,
    trusted: bool,
}

impl Rolling {
    /// At most `at_once` nodes of all lanes at a time. With `canary` the very first node goes alone.
    pub fn new(queues: Vec<Queue>, at_once: usize, canary: bool) -> Self {
        let lanes = queues.into_iter().map(|queue| Progress {
            waiting: queue.nodes.into(),
            running: Vec::new(),
            width: queue.width.max(1),
            trusted: !queue.canary,
        });
        Self { lanes: lanes.collect(), at_once: at_once.max(1), trusted: !canary, halted: false }
    }

    /// Nodes that begin now.
    pub fn begin(&mut self) -> Vec<usize> {
        let mut begun = Vec::new();
        while let Some(node) = self.next() {
            begun.push(node);
        }
        begun
    }

    fn next(&mut self) -> Option<usize> {
        let running: usize = self.lanes.iter().map(|lane| lane.running.len()).sum();
        let limit = if self.trusted { self.at_once } else { 1 };
        if self.halted || running >= limit {
            return None;
        }
        let free = |lane: &&mut Progress| {
            let width = if lane.trusted { lane.width } else { 1 };
            !lane.waiting.is_empty() && lane.running.len() < width
        };
        let lane = self.lanes.iter_mut().find(free)?;
        let node = lane.waiting.pop_front()?;
        lane.running.push(node);
        Some(node)
    }

    /// A node has ended, as wanted or not.
    pub fn ended(&mut self, node: usize, as_wanted: bool) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.running.contains(&node)) {
            lane.running.retain(|other| *other != node);
            lane.trusted |= as_wanted;
        }
        self.trusted |= as_wanted;
        self.halted |= !as_wanted;
    }

    /// Nobody begins any more.
    pub const fn halt(&mut self) {
        self.halted = true;
    }

    /// Whether somebody of this node's lane still waits for it.
    pub fn is_waited_for(&self, node: usize) -> bool {
        !self.halted && self.lanes.iter().any(|lane| lane.running.contains(&node) && !lane.waiting.is_empty())
    }

    /// Those whose turn has not come.
    pub fn not_begun(&self) -> Vec<usize> {
        self.lanes.iter().flat_map(|lane| lane.waiting.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn queue(nodes: &[usize], width: usize, canary: bool) -> Queue {
        Queue { nodes: nodes.to_vec(), width, canary }
    }

    #[test]
    fn the_canary_goes_alone_then_lanes_side_by_side() {
        let queues = vec![queue(&[0, 1, 2], 1, true), queue(&[3, 4, 5], 16, false)];
        let mut rolling = Rolling::new(queues, 16, true);
        assert_eq!(rolling.begin(), [0]);
        assert_eq!(rolling.begin(), [0; 0]);
        assert!(rolling.is_waited_for(0));
        rolling.ended(0, true);
        assert_eq!(rolling.begin(), [1, 3, 4, 5]);
        rolling.ended(1, true);
        assert_eq!(rolling.begin(), [2]);
        assert!(!rolling.is_waited_for(2));
    }

    #[test]
    fn each_cluster_has_a_canary_of_its_own() {
        let queues = vec![queue(&[0, 1, 2], 2, true), queue(&[3, 4, 5], 2, true)];
        let mut rolling = Rolling::new(queues, 16, true);
        assert_eq!(rolling.begin(), [0]);
        rolling.ended(0, true);
        assert_eq!(rolling.begin(), [1, 2, 3]);
        rolling.ended(3, true);
        assert_eq!(rolling.begin(), [4, 5]);
    }

    #[test]
    fn a_failure_leaves_what_runs_and_begins_nothing() {
        let mut rolling = Rolling::new(vec![queue(&[0, 1, 2, 3], 2, false)], 16, false);
        assert_eq!(rolling.begin(), [0, 1]);
        rolling.ended(0, false);
        assert_eq!(rolling.begin(), [0; 0]);
        rolling.ended(1, true);
        assert_eq!(rolling.begin(), [0; 0]);
        assert_eq!(rolling.not_begun(), [2, 3]);
    }

    fn queues() -> impl Strategy<Value = Vec<Queue>> {
        let lane = (1..6_usize, 1..4_usize, any::<bool>());
        proptest::collection::vec(lane, 1..5).prop_map(|lanes| {
            let mut next = 0;
            let lane = |(count, width, canary)| {
                let nodes = (next..next + count).collect();
                next += count;
                Queue { nodes, width, canary }
            };
            lanes.into_iter().map(lane).collect()
        })
    }

    proptest! {
        /// Whatever the order of ends: bounds hold, everybody begins once unless somebody failed, and after a failure
        /// nobody begins.
        #[test]
        fn bounds_and_the_stop_rule_hold(
            queues in queues(), at_once in 1..6_usize, canary in any::<bool>(),
            picks in proptest::collection::vec((any::<prop::sample::Index>(), proptest::bool::weighted(0.95)), 0..40)
        ) {
            let all: usize = queues.iter().map(|queue| queue.nodes.len()).sum();
            let mut rolling = Rolling::new(queues.clone(), at_once, canary);
            let (mut running, mut begun, mut good, mut failed): (Vec<usize>, Vec<usize>, usize, bool) = Default::default();
            let mut picks = picks.into_iter();
            loop {
                let more = rolling.begin();
                prop_assert!(!failed || more.is_empty());
                begun.extend(&more);
                running.extend(&more);
                prop_assert!(running.len() <= at_once);
                prop_assert!(!canary || good > 0 || running.len() <= 1);
                for queue in &queues {
                    let mine = running.iter().filter(|node| queue.nodes.contains(node)).count();
                    prop_assert!(mine <= queue.width);
                }
                let Some((index, as_wanted)) = picks.next() else { break };
                if running.is_empty() { break }
                let node = running.remove(index.index(running.len()));
                rolling.ended(node, as_wanted);
                failed |= !as_wanted;
                good += usize::from(as_wanted);
            }
            while !failed && !running.is_empty() {
                rolling.ended(running.remove(0), true);
                let more = rolling.begin();
                begun.extend(&more);
                running.extend(&more);
            }
            let mut once = begun.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), begun.len());
            prop_assert!(failed || begun.len() == all);
            prop_assert_eq!(begun.len() + rolling.not_begun().len(), all);
        }
    }
}
