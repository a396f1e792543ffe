//! Against a fake node with a paused clock.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::*;

/// Answers from a script; remembers what it was asked.
#[derive(Default)]
struct Fake {
    journal: Vec<&'static str>,
    /// Ends the connection after the journal instead of keeping it open.
    cut: bool,
    fresh: RefCell<VecDeque<Result<Vec<Frame>, String>>>,
    web: RefCell<VecDeque<bool>>,
    run: RefCell<VecDeque<Result<Vec<Frame>, String>>>,
    asked: RefCell<Vec<String>>,
    after_run: Vec<&'static str>,
    waiting: RefCell<Option<mpsc::UnboundedSender<Frame>>>,
}

fn frame(name: &str, status: i32, body: &str) -> Frame {
    Frame { name: name.into(), status, body: body.into() }
}

impl Node for Fake {
    type Error = String;

    async fn follow(&self, _: &Program, frames: mpsc::UnboundedSender<Frame>) -> Result<(), String> {
        for line in &self.journal {
            frames.send(frame("journal", 0, line)).map_err(|error| error.to_string())?;
        }
        if self.cut {
            return Err("connection reset".into());
        }
        *self.waiting.borrow_mut() = Some(frames);
        std::future::pending().await
    }

    async fn run(&self, _: &Program) -> Result<Vec<Frame>, String> {
        self.asked.borrow_mut().push("run".into());
        let waiting = self.waiting.borrow().clone();
        if let Some(frames) = waiting {
            for line in &self.after_run {
                let _ = frames.send(frame("journal", 0, line));
            }
        }
        self.run.borrow_mut().pop_front().unwrap_or_else(|| Ok(Vec::new()))
    }

    async fn web(&self) -> bool {
        self.web.borrow_mut().pop_front().unwrap_or(false)
    }

    async fn fresh(&self, login: &Login, _: &Program) -> Result<Vec<Frame>, String> {
        self.asked.borrow_mut().push(format!("fresh {login:?}"));
        let answer = self.fresh.borrow_mut().pop_front().unwrap_or_else(|| Err("refused".into()));
        let waiting = self.waiting.borrow().clone();
        if let (Ok(_), Some(frames)) = (&answer, waiting) {
            let _ = frames.send(frame("journal", 0, "9 committed ops"));
        }
        answer
    }
}

fn order(manual: bool) -> Run {
    Run { id: "20260101T000000Z-0001".into(), login: Login::Admin("ops".into()), manual, web: true }
}

async fn outcome(node: &Fake, manual: bool) -> Outcome {
    drive(node, &Program::new(""), &order(manual), std::future::pending(), |_| ()).await
}

#[tokio::test(start_paused = true)]
async fn a_window_is_answered_by_a_fresh_login() {
    let node = Fake { journal: vec!["1 armed 60", "2 window 60"], ..Fake::default() };
    node.fresh.borrow_mut().push_back(Ok(vec![frame("proof", 0, "ops")]));
    assert_eq!(outcome(&node, false).await, Outcome::Committed);
    assert_eq!(*node.asked.borrow(), ["fresh Admin(\"ops\")"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_fresh_login_undoes_at_once_and_names_the_cause() {
    let node = Fake {
        journal: vec!["1 armed 60", "2 window 60"],
        after_run: vec!["3 undoing operator", "4 undone"],
        ..Fake::default()
    };
    assert_eq!(
        outcome(&node, false).await,
        Outcome::RolledBack { why: "the proof by a new login failed: refused".into() }
    );
    assert_eq!(*node.asked.borrow(), ["fresh Admin(\"ops\")", "run"]);
}

#[tokio::test(start_paused = true)]
async fn port_8006_must_answer_where_it_did_before() {
    let firewall = || Fake {
        journal: vec!["1 armed 60", "2 settling firewall 150", "3 proved rules", "4 proof firewall 60"],
        after_run: vec!["5 undoing operator", "6 undone"],
        ..Fake::default()
    };
    let node = firewall();
    node.web.borrow_mut().extend([true, false, false, false]);
    let why = "port 8006 answered from here before the run and does not now";
    assert_eq!(outcome(&node, false).await, Outcome::RolledBack { why: why.into() });
    assert_eq!(*node.asked.borrow(), ["run"], "no login may leave the mark");

    // Slow to come back, or never there: the login decides.
    for web in [&[true, false, true][..], &[false]] {
        let node = firewall();
        node.web.borrow_mut().extend(web);
        node.fresh.borrow_mut().push_back(Ok(vec![frame("proof", 0, "ops")]));
        assert_eq!(outcome(&node, false).await, Outcome::Committed);
        assert!(node.web.borrow().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_is_the_cause() {
    let node = Fake {
        journal: vec!["1 armed 60", "2 fail 003 visudo: bad", "3 undoing failure", "4 undone"],
        ..Fake::default()
    };
    assert_eq!(outcome(&node, false).await, Outcome::RolledBack { why: "step 3: visudo: bad".into() });
}

#[tokio::test(start_paused = true)]
async fn a_cut_link_is_answered_from_the_journal() {
    let node = Fake { journal: vec!["1 armed 60"], cut: true, ..Fake::default() };
    node.run.borrow_mut().extend([
        Err("no route".into()),
        Ok(vec![frame("journal", 0, "1 armed 60\n5 undoing guard\n6 undone\n"), frame("outcome", 0, "undone")]),
    ]);
    assert_eq!(
        outcome(&node, false).await,
        Outcome::RolledBack { why: "no fresh login confirmed the run in time".into() }
    );
}

#[tokio::test(start_paused = true)]
async fn what_never_reached_the_node_changed_nothing() {
    let node = Fake { journal: vec![], cut: true, ..Fake::default() };
    node.run.borrow_mut().push_back(Ok(vec![frame("outcome", 0, "absent")]));
    assert!(matches!(outcome(&node, false).await, Outcome::Refused { word, .. } if word == "lost"));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stays_away_needs_hands() {
    let node = Fake { journal: vec!["1 armed 60"], cut: true, ..Fake::default() };
    node.run.borrow_mut().extend((0..200).map(|_| Err("no route".to_owned())));
    let Outcome::NeedsHands { why } = outcome(&node, false).await else { panic!("expected needs-hands") };
    assert!(why.contains("no route"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn the_outcome_counts_when_the_journal_was_not_finished() {
    for (word, expected) in
        [("committed", Outcome::Committed), ("undone", Outcome::RolledBack { why: "connection reset".into() })]
    {
        let node = Fake { journal: vec!["1 armed 60"], cut: true, ..Fake::default() };
        let answer = vec![frame("journal", 0, "1 armed 60\n"), frame("outcome", 0, word)];
        node.run.borrow_mut().push_back(Ok(answer));
        assert_eq!(outcome(&node, false).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_fails_is_told_at_once_when_the_guard_could_not_do_better() {
    let began = Instant::now();
    let half = |what: &str| Outcome::UndoFailed { what: what.into(), why: "step 3: x".into() };
    let journal = vec![
        "1 armed 60",
        "2 fail 003 x",
        "3 undoing failure",
        "4 undo-failed 002 no space",
        "4 undo-failed 001 busy",
        "4 gave-up failure",
        "5 undoing guard",
        "6 undo-failed 002 no space",
        "6 gave-up guard",
    ];
    let node = Fake { journal: journal.clone(), ..Fake::default() };
    assert_eq!(outcome(&node, false).await, half("step 002: no space"));
    assert_eq!(began.elapsed(), Duration::ZERO);

    // Read later, the last word counts.
    for (more, word, expected) in [
        ("", "undoing", half("step 002: no space")),
        ("\n9 undoing console\n9 undone", "undone", Outcome::RolledBack { why: "step 3: x".into() }),
    ] {
        let node = Fake { journal: vec!["1 armed 60"], cut: true, ..Fake::default() };
        let answer = vec![frame("journal", 0, &(journal.join("\n") + more)), frame("outcome", 0, word)];
        node.run.borrow_mut().push_back(Ok(answer));
        assert_eq!(outcome(&node, false).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_does_better_is_waited_for() {
    let node = Fake {
        journal: vec![
            "1 armed 60",
            "2 fail 003 x",
            "3 undoing failure",
            "4 undo-failed 002 no space",
            "4 gave-up failure",
            "5 undoing guard",
            "6 undone",
        ],
        ..Fake::default()
    };
    assert_eq!(outcome(&node, false).await, Outcome::RolledBack { why: "step 3: x".into() });
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_takes_longer_than_the_deadline_is_waited_for() {
    let node = Fake { journal: vec!["1 armed 60"], cut: true, ..Fake::default() };
    let journal = "1 armed 60\n50 undoing guard\n";
    let answer = |outcome: &str, now: &str, journal: &str| {
        Ok(vec![frame("journal", 0, journal), frame("now", 0, now), frame("outcome", 0, outcome)])
    };
    node.run.borrow_mut().extend((0..25).map(|_| answer("undoing", "60", journal)));
    node.run.borrow_mut().push_back(answer("undone", "260", &format!("{journal}260 undone\n")));
    let began = Instant::now();
    assert!(matches!(outcome(&node, false).await, Outcome::RolledBack { .. }));
    assert!(began.elapsed() > Duration::from_secs(90), "the old deadline would have done");
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_failed_and_fell_silent_is_not_waited_for() {
    let began = Instant::now();
    let node = Fake { journal: vec!["1 armed 60", "3 undoing guard", "4 undo-failed 002 no space"], ..Fake::default() };
    assert!(matches!(outcome(&node, false).await, Outcome::UndoFailed { what, .. } if what.contains("no space")));
    assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_undoes() {
    let node =
        Fake { journal: vec!["1 armed 60"], after_run: vec!["3 undoing operator", "4 undone"], ..Fake::default() };
    let result = drive(&node, &Program::new(""), &order(false), async {}, |_| ()).await;
    assert_eq!(result, Outcome::RolledBack { why: "interrupted".into() });
}
