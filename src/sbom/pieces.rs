//! A JSON document that is written piece by piece: an image may have a million files.
//!
//! In: an object with the fields that come first, and the items of lists. Out: one object.

use std::io::{self, Write};

use serde::Serialize;

/// A document that is being written.
pub(super) struct DocumentPieces<'o> {
    out: &'o mut dyn Write,
}

impl<'o> DocumentPieces<'o> {
    /// Begins with the fields of `head`, an object that is not empty.
    pub fn new(out: &'o mut dyn Write, head: &impl Serialize) -> io::Result<Self> {
        let mut head = serde_json::to_vec(head)?;
        // The brace that ends it.
        head.pop();
        out.write_all(&head)?;
        Ok(Self { out })
    }

    /// Adds a list.
    pub fn list<T: Serialize>(
        &mut self,
        name: &str,
        items: impl Iterator<Item = T>,
    ) -> io::Result<()> {
        write!(self.out, ",\"{name}\":")?;
        let mut separator = b"[";
        for item in items {
            self.out.write_all(separator)?;
            self.out.write_all(&serde_json::to_vec(&item)?)?;
            separator = b",";
        }
        let end: &[u8] = if separator == b"[" { b"[]" } else { b"]" };
        self.out.write_all(end)
    }

    /// Ends the document.
    pub fn end(self) -> io::Result<()> {
        self.out.write_all(b"}")
    }
}
