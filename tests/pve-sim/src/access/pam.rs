//! Passwords of the realm pam: asked of the node's own PAM stack, service `proxmox-ve-auth`.
//!
//! PVE ships no such file in /etc/pam.d, so PAM takes `other`, which on Debian includes the common files.

use std::ffi::{CStr, CString};

use pam_client2::{Context, ConversationHandler, ErrorCode, Flag};

const SERVICE: &str = "proxmox-ve-auth";

/// Answers each question with the password.
struct Answer {
    password: CString,
}

impl ConversationHandler for Answer {
    fn prompt_echo_on(&mut self, _question: &CStr) -> Result<CString, ErrorCode> {
        Ok(self.password.clone())
    }

    fn prompt_echo_off(&mut self, _question: &CStr) -> Result<CString, ErrorCode> {
        Ok(self.password.clone())
    }

    fn text_info(&mut self, _text: &CStr) {}

    fn error_msg(&mut self, _text: &CStr) {}
}

/// Checks a password and the account. The error is PAM's own sentence.
pub fn authenticate(user: &str, password: &str, remote: Option<&str>) -> Result<(), String> {
    let password = CString::new(password).map_err(|_| "Authentication failure".to_owned())?;
    let words = |error: pam_client2::Error| error.to_string();
    let mut context = Context::new(SERVICE, Some(user), Answer { password }).map_err(words)?;
    if let Some(remote) = remote {
        context.set_rhost(Some(remote)).map_err(words)?;
    }
    context.authenticate(Flag::NONE).map_err(words)?;
    context.acct_mgmt(Flag::NONE).map_err(words)
}
