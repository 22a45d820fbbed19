//! Logging in: the inventory's key, the agent, ssh_config's or the default keys, the password.
//!
//! Whatever is tried is noted with its result; a refused login lists it all. Servers count
//! attempts (`MaxAuthTries`, 6 by default), so a key is offered once even if it is found twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use russh::MethodKind;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};

use super::config::Target;
use super::session::Client;

/// For the agent to list its keys; a hardware key may ask for a touch later.
const AGENT_DEADLINE: Duration = Duration::from_secs(5);

/// A key file is a few kilobytes.
const KEY_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Questions that a server may ask in keyboard-interactive rounds.
const PROMPT_ROUNDS_MAX: usize = 5;

/// An attempt to log in, as far as it has come.
pub(super) struct Login<'a> {
    handle: &'a mut Handle<Client>,
    target: &'a Target,
    /// What was tried and what came of it.
    tried: Vec<String>,
    /// The public keys that were offered.
    offered: Vec<PublicKey>,
    /// Which methods the server still takes, once it has said so.
    allowed: Option<Vec<MethodKind>>,
    rsa_hash: Option<Option<HashAlg>>,
}

/// Logs in, or says why not.
pub(super) async fn login(handle: &mut Handle<Client>, target: &Target) -> Result<(), String> {
    let mut login = Login {
        handle,
        target,
        tried: Vec::new(),
        offered: Vec::new(),
        allowed: None,
        rsa_hash: None,
    };
    if login.all_methods().await {
        return Ok(());
    }
    let mut reason = if login.tried.is_empty() {
        "there is no key, no agent and no password to try: set ansible_ssh_private_key_file, \
         start an agent or set ansible_password"
            .to_owned()
    } else {
        format!("tried {}", login.tried.join("; "))
    };
    if let Some(allowed) = &login.allowed {
        let names: Vec<&str> = allowed.iter().map(Into::into).collect();
        reason.push_str(&format!("; the server takes: {}", names.join(", ")));
    }
    if login.handle.is_closed() {
        reason.push_str(
            "; the server hung up: it may count attempts (MaxAuthTries), so name the right key by \
             ansible_ssh_private_key_file",
        );
    }
    Err(reason)
}

impl Login<'_> {
    async fn all_methods(&mut self) -> bool {
        if let Some(file) = &self.target.key_file
            && self.key_file(file, true).await
        {
            return true;
        }
        if let Some(socket) = &self.target.agent
            && self.agent(socket).await
        {
            return true;
        }
        for file in &self.target.identity_files {
            if Some(file) != self.target.key_file.as_ref() && self.key_file(file, false).await {
                return true;
            }
        }
        self.password().await || self.keyboard_interactive().await
    }

    /// Whether it is worth trying; notes where it is not.
    fn may(&mut self, method: MethodKind, what: &str) -> bool {
        if self.handle.is_closed() {
            return false;
        }
        match &self.allowed {
            Some(allowed) if !allowed.contains(&method) => {
                self.tried.push(format!("{what}: not taken by the server"));
                false
            }
            _ => true,
        }
    }

    fn note(&mut self, what: &str, result: Result<AuthResult, String>) -> bool {
        let outcome = match result {
            Ok(AuthResult::Success) => return true,
            Ok(AuthResult::Failure {
                remaining_methods,
                partial_success,
            }) => {
                if !self.handle.is_closed() {
                    self.allowed = Some(remaining_methods.to_vec());
                }
                if partial_success {
                    "accepted, but the server wants more".into()
                } else {
                    "refused".into()
                }
            }
            Err(error) => error,
        };
        self.tried.push(format!("{what}: {outcome}"));
        false
    }

    /// A file that is missing is noted only where the inventory names it.
    async fn key_file(&mut self, file: &Path, named: bool) -> bool {
        let what = format!("key {}", file.display());
        let key = match read_key(file).await {
            Ok(key) => key,
            Err(KeyFileError::Missing) if !named => return false,
            Err(error) => {
                self.tried.push(format!("{what}: {error}"));
                return false;
            }
        };
        if self.offered.contains(key.public_key()) {
            return false;
        }
        if !self.may(MethodKind::PublicKey, &what) {
            return false;
        }
        self.offered.push(key.public_key().clone());
        let hash = if key.algorithm().is_rsa() {
            self.rsa_hash().await
        } else {
            None
        };
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let result = self
            .handle
            .authenticate_publickey(&self.target.user, key)
            .await;
        self.note(&what, result.map_err(|error| error.to_string()))
    }

    /// The strongest hash that the server takes; SHA-1 only where it asks for it.
    async fn rsa_hash(&mut self) -> Option<HashAlg> {
        if let Some(hash) = self.rsa_hash {
            return hash;
        }
        let answer = self.handle.best_supported_rsa_hash().await;
        let hash = answer.ok().flatten().unwrap_or(Some(HashAlg::Sha512));
        self.rsa_hash = Some(hash);
        hash
    }

    async fn agent(&mut self, socket: &Path) -> bool {
        let what = format!("agent {}", socket.display());
        let ask = async {
            let mut agent = AgentClient::connect_uds(socket).await?;
            let identities = agent.request_identities().await?;
            Ok::<_, russh::keys::Error>((agent, identities))
        };
        let (mut agent, identities) = match tokio::time::timeout(AGENT_DEADLINE, ask).await {
            Err(_) => {
                self.tried.push(format!(
                    "{what}: no answer within {} s",
                    AGENT_DEADLINE.as_secs()
                ));
                return false;
            }
            Ok(Err(error)) => {
                self.tried.push(format!("{what}: {error}"));
                return false;
            }
            Ok(Ok(answer)) => answer,
        };
        let wanted = self
            .target
            .identities_only
            .then(|| self.configured_public_keys());
        let mut keys = 0;
        for identity in identities {
            let AgentIdentity::PublicKey { key, comment } = identity else {
                continue;
            };
            let unwanted = wanted
                .as_ref()
                .is_some_and(|wanted| !wanted.iter().any(|w| w.key_data() == key.key_data()));
            if unwanted || self.offered.iter().any(|o| o.key_data() == key.key_data()) {
                continue;
            }
            keys += 1;
            let what = format!("agent key {comment} ({})", key.algorithm());
            if !self.may(MethodKind::PublicKey, &what) {
                return false;
            }
            self.offered.push(key.clone());
            let hash = if key.algorithm().is_rsa() {
                self.rsa_hash().await
            } else {
                None
            };
            let result = self
                .handle
                .authenticate_publickey_with(&self.target.user, key, hash, &mut agent)
                .await;
            if self.note(&what, result.map_err(|error| error.to_string())) {
                return true;
            }
        }
        if keys == 0 {
            self.tried
                .push(format!("{what}: it has no key to offer (ssh-add adds one)"));
        }
        false
    }

    /// The `.pub` files beside the configured keys, for `IdentitiesOnly`.
    fn configured_public_keys(&self) -> Vec<PublicKey> {
        let files = self
            .target
            .key_file
            .iter()
            .chain(&self.target.identity_files);
        files
            .filter_map(|file| {
                let mut name = file.clone().into_os_string();
                name.push(".pub");
                russh::keys::load_public_key(PathBuf::from(name)).ok()
            })
            .collect()
    }

    async fn password(&mut self) -> bool {
        let Some(password) = &self.target.password else {
            return false;
        };
        if !self.may(MethodKind::Password, "password") {
            return false;
        }
        let result = self
            .handle
            .authenticate_password(&self.target.user, password.expose())
            .await;
        self.note("password", result.map_err(|error| error.to_string()))
    }

    /// Answers each hidden prompt with the password: the way PAM asks for it.
    async fn keyboard_interactive(&mut self) -> bool {
        let what = "keyboard-interactive with the password";
        let Some(password) = &self.target.password else {
            return false;
        };
        if !self.may(MethodKind::KeyboardInteractive, what) {
            return false;
        }
        let mut answer = self
            .handle
            .authenticate_keyboard_interactive_start(&self.target.user, None)
            .await;
        for _ in 0..PROMPT_ROUNDS_MAX {
            let prompts = match answer {
                Ok(KeyboardInteractiveAuthResponse::Success) => return true,
                Ok(KeyboardInteractiveAuthResponse::Failure {
                    remaining_methods,
                    partial_success,
                }) => {
                    return self.note(
                        what,
                        Ok(AuthResult::Failure {
                            remaining_methods,
                            partial_success,
                        }),
                    );
                }
                Ok(KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. }) => prompts,
                Err(error) => return self.note(what, Err(error.to_string())),
            };
            let secret = |echo: bool| {
                if echo {
                    String::new()
                } else {
                    password.expose().to_owned()
                }
            };
            let responses = prompts.iter().map(|prompt| secret(prompt.echo)).collect();
            answer = self
                .handle
                .authenticate_keyboard_interactive_respond(responses)
                .await;
        }
        self.note(what, Err("it asked too many questions".into()))
    }
}

#[derive(Debug, thiserror::Error)]
enum KeyFileError {
    #[error("no such file")]
    Missing,
    #[error("cannot read it: {0}")]
    Unreadable(std::io::Error),
    #[error("it is encrypted; add it to an agent (ssh-add)")]
    Encrypted,
    #[error("it is no private key that is understood: {0}")]
    Malformed(String),
}

async fn read_key(file: &Path) -> Result<PrivateKey, KeyFileError> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => KeyFileError::Missing,
        _ => KeyFileError::Unreadable(error),
    };
    let size = tokio::fs::metadata(file).await.map_err(unreadable)?.len();
    if size > KEY_FILE_BYTES_MAX {
        return Err(KeyFileError::Malformed(format!("it has {size} bytes")));
    }
    let text = tokio::fs::read_to_string(file).await.map_err(unreadable)?;
    match russh::keys::decode_secret_key(&text, None) {
        Ok(key) if key.is_encrypted() => Err(KeyFileError::Encrypted),
        Ok(key) => Ok(key),
        Err(russh::keys::Error::KeyIsEncrypted) => Err(KeyFileError::Encrypted),
        Err(error) => Err(KeyFileError::Malformed(error.to_string())),
    }
}
