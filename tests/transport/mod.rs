//! The transport against real ssh programs.

mod connection;
mod hostkeys;
mod keys;
mod nodes;
mod ways;

use std::sync::{Arc, Mutex};

use pve_harden::secret::Secret;
use pve_harden::transport::{Ask, HostKeyOffer, Operator, Question};

/// An operator whose questions come through the built binary.
fn operator(ask: impl Ask + 'static) -> Arc<Operator> {
    Arc::new(Operator::new(ask).through(env!("CARGO_BIN_EXE_pve-harden")))
}

/// Nobody at the terminal.
fn nobody() -> Arc<Operator> {
    Arc::new(Operator::absent().through(env!("CARGO_BIN_EXE_pve-harden")))
}

/// Answers by rote and notes what was asked.
#[derive(Clone, Default)]
struct Scripted {
    secrets: Arc<Mutex<Vec<&'static str>>>,
    trusts: bool,
    questions: Arc<Mutex<Vec<Question>>>,
    offers: Arc<Mutex<Vec<HostKeyOffer>>>,
    notices: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn answering(secrets: &[&'static str]) -> Self {
        Self { secrets: Arc::new(Mutex::new(secrets.iter().rev().copied().collect())), ..Self::default() }
    }

    fn trusting(mut self, trusts: bool) -> Self {
        self.trusts = trusts;
        self
    }

    fn questions(&self) -> Vec<Question> {
        self.questions.lock().unwrap().clone()
    }

    fn offers(&self) -> Vec<HostKeyOffer> {
        self.offers.lock().unwrap().clone()
    }
}

impl Ask for Scripted {
    fn secret(&self, question: &Question) -> Option<Secret> {
        self.questions.lock().unwrap().push(question.clone());
        self.secrets.lock().unwrap().pop().map(Secret::new)
    }

    fn host_key(&self, offer: &HostKeyOffer) -> bool {
        self.offers.lock().unwrap().push(offer.clone());
        self.trusts
    }

    fn notice(&self, text: &str) {
        self.notices.lock().unwrap().push(text.into());
    }
}
