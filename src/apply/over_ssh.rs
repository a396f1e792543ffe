//! The engine's ways to a node, over real connections.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::engine::{Login, Node};
use crate::transport::{
    Connection, Credentials, Error, Frame, Limits, Methods, Operator, Program, Target, fresh_run, tls_answers,
};

/// A run may take long: packages are fetched, a person confirms by hand. The node's own deadlines end it.
const RUN_LIMIT: Duration = Duration::from_secs(2 * 3600);
/// pveproxy's.
const WEB_PORT: u16 = 8006;
/// A question to the node.
const ASK_LIMIT: Duration = Duration::from_secs(90);

/// One open connection, and the logins a new one may use.
pub struct SshNode<'a> {
    /// Read the plan's facts; carries the run.
    pub connection: &'a Connection,
    /// Logins in order of preference.
    pub candidates: Vec<(Target, Credentials)>,
    /// Asks when a login needs it.
    pub operator: Arc<Operator>,
}

impl SshNode<'_> {
    async fn first_that_answers(&self, program: &Program, limits: Limits) -> Result<Vec<Frame>, Error> {
        let mut last = None;
        for (target, credentials) in &self.candidates {
            match fresh_run(target, credentials, &self.operator, program, limits).await {
                Ok(frames) => return Ok(frames),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::Target("there is no login to try".into())))
    }
}

impl Node for SshNode<'_> {
    type Error = Error;

    async fn follow(&self, program: &Program, frames: mpsc::UnboundedSender<Frame>) -> Result<(), Error> {
        let limits = Limits::default().within(RUN_LIMIT);
        let mut pass_on = |frame| match frames.send(frame) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        self.connection.run_streaming(program, limits, &mut pass_on).await
    }

    async fn run(&self, program: &Program) -> Result<Vec<Frame>, Error> {
        let limits = Limits::default().within(ASK_LIMIT);
        match self.connection.run(program, limits).await {
            Ok(frames) => Ok(frames),
            Err(_) => self.first_that_answers(program, limits).await,
        }
    }

    async fn web(&self) -> bool {
        let Some((target, _)) = self.candidates.first() else { return false };
        tls_answers(target, WEB_PORT).await
    }

    async fn fresh(&self, login: &Login, program: &Program) -> Result<Vec<Frame>, Error> {
        let limits = Limits::default().within(ASK_LIMIT);
        let Login::Admin(name) = login else { return self.first_that_answers(program, limits).await };
        let Some((target, credentials)) = self.candidates.iter().find(|(target, _)| target.user.as_ref() == Some(name))
        else {
            return Err(Error::Target(format!("there is no login as {name} to try")));
        };
        // The point is the key: a password that still happens to work proves nothing.
        let by_key = Credentials { methods: Methods::KeyOnly, password: None, ..credentials.clone() };
        fresh_run(target, &by_key, &self.operator, program, limits).await
    }
}
