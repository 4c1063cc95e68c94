//! A document in a file or on S3, replaced whole and only by those who read it.

use std::fs;
use std::io;
use std::path::PathBuf;

use portcullis_remediation::{SaveError, StoreError, Version};

use crate::connection::Connection;
use crate::disk;
use crate::s3_place::S3Place;

/// A document and where it is.
#[derive(Debug)]
pub struct Document(Store);

#[derive(Debug)]
enum Store {
    File(PathBuf),
    S3(S3Place, String),
}

impl Document {
    /// `s3://BUCKET/KEY`, or a path; nothing is read yet.
    pub fn open(place: &str, connection: &Connection) -> Self {
        Self(match place.strip_prefix("s3://") {
            Some(path) => {
                let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
                Store::S3(S3Place::new(connection, bucket), key.to_owned())
            }
            None => Store::File(place.into()),
        })
    }

    /// Its content and version; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn load(&self) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        match &self.0 {
            Store::File(path) => match fs::read(path) {
                Ok(content) => {
                    let version = disk::version(&content);
                    Ok(Some((content, version)))
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(StoreError(format!("{}: {error}", path.display()))),
            },
            Store::S3(place, key) => {
                let found = place.get(key).await?;
                Ok(found.map(|(content, tag)| (content, Version(tag))))
            }
        }
    }

    /// Replaces it, if it still is what was read: `None` means that there was none.
    ///
    /// # Errors
    ///
    /// [`SaveError::Conflict`] when somebody else replaced it meanwhile.
    pub async fn save(
        &self,
        content: Vec<u8>,
        replaces: Option<&Version>,
    ) -> Result<Version, SaveError> {
        match &self.0 {
            Store::File(path) => {
                let refused =
                    |error: io::Error| SaveError::Refused(format!("{}: {error}", path.display()));
                let _alone = disk::lock(&path.with_extension("lock")).map_err(refused)?;
                let stored = self.load().await;
                let stored = stored.map_err(|StoreError(text)| SaveError::Refused(text))?;
                if stored.as_ref().map(|(_, version)| version) != replaces {
                    return Err(SaveError::Conflict);
                }
                disk::replace(path, &content)
                    .map_err(|error| SaveError::Unknown(format!("{}: {error}", path.display())))?;
                Ok(disk::version(&content))
            }
            Store::S3(place, key) => {
                place.replace(key, "application/octet-stream", content, replaces).await
            }
        }
    }
}
