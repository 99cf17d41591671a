//! Who made a file, and what he says that it is.

use minisign_verify::{PublicKey, Signature};

use crate::error::ReleaseError;

/// The key that releases are signed with.
pub struct Publisher(PublicKey);

impl Publisher {
    /// The key as minisign writes it: the line that begins with `RW`.
    pub fn new(key: &str) -> Result<Self, ReleaseError> {
        PublicKey::from_base64(key.trim()).map(Self).map_err(|_| ReleaseError::Key)
    }

    /// Whether the publisher signed these bytes as exactly what is offered; `signature` is the text of `FILE.minisig`.
    pub fn verify(
        &self,
        file: &str,
        bytes: &[u8],
        signature: &str,
        offered: String,
    ) -> Result<(), ReleaseError> {
        let refused = |error: minisign_verify::Error| ReleaseError::Signature {
            file: file.to_owned(),
            reason: error.to_string(),
        };
        let signature = Signature::decode(signature).map_err(refused)?;
        // Only signatures of the kind that minisign makes today.
        self.0.verify(bytes, &signature, false).map_err(refused)?;
        // The comment is signed together with the bytes.
        let signed = signature.trusted_comment();
        if signed != offered {
            let signed = pm_core::units::shown(signed);
            return Err(ReleaseError::Mislabelled { file: file.to_owned(), signed, offered });
        }
        Ok(())
    }
}
