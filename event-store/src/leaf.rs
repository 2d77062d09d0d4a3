//! The leaf of an event: the hash by which it will stand in a tree (RFC 6962 section 2.1).
//!
//! It is hashed over every field that survives a move to another cell, each with its length before it, so that no two
//! different events hash alike. Two of the fields, the tenant's sequence and the time of recording, are known only while
//! the head is held; so the writer makes the [`LeafParts`] around them, and the append hashes.

use aws_lc_rs::digest::{SHA256, digest};
use domain::StreamId;
use domain::ids::TenantId;
use sabotage::Guard;
use uuid::Uuid;

use crate::recorded::Recorded;

/// What distinguishes a leaf from an inner node.
const LEAF: u8 = 0;
/// The length field of a number of eight bytes.
const EIGHT: [u8; 4] = 8_u32.to_be_bytes();

/// What stands before, between and after the two fields that the append knows.
pub(crate) struct LeafParts {
    /// Up to the tenant's sequence, its length included.
    pub(crate) head: Vec<u8>,
    /// Up to the time of recording, its length included.
    pub(crate) middle: Vec<u8>,
    /// The rest.
    pub(crate) tail: Vec<u8>,
}

/// The fields of an event that its writer knows.
pub(crate) struct LeafFields<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) stream: StreamId,
    pub(crate) version: i64,
    pub(crate) event_type: &'a str,
    pub(crate) schema_version: i16,
    pub(crate) event_id: Uuid,
    pub(crate) payload: &'a str,
    pub(crate) meta: &'a str,
}

impl LeafFields<'_> {
    pub(crate) fn parts(&self) -> LeafParts {
        let mut head = Vec::with_capacity(25);
        head.push(LEAF);
        field(&mut head, self.tenant.uuid().as_bytes());
        head.extend_from_slice(&EIGHT);
        let mut middle = Vec::with_capacity(72 + self.event_type.len());
        field(&mut middle, &self.stream.category.code.to_be_bytes());
        field(&mut middle, self.stream.id.as_bytes());
        field(&mut middle, &self.version.to_be_bytes());
        field(&mut middle, self.event_type.as_bytes());
        field(&mut middle, &self.schema_version.to_be_bytes());
        field(&mut middle, self.event_id.as_bytes());
        middle.extend_from_slice(&EIGHT);
        let mut tail = Vec::with_capacity(72);
        field(&mut tail, digest(&SHA256, self.payload.as_bytes()).as_ref());
        let meta = if sabotage::stands(Guard::LeafField) { self.meta } else { self.event_type };
        field(&mut tail, digest(&SHA256, meta.as_bytes()).as_ref());
        LeafParts { head, middle, tail }
    }
}

fn field(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend_from_slice(&(field.len() as u32).to_be_bytes());
    bytes.extend_from_slice(field);
}

/// The leaf that a stored event must have.
#[must_use]
pub fn leaf(event: &Recorded) -> [u8; 32] {
    let fields = LeafFields {
        tenant: event.tenant,
        stream: event.stream,
        version: event.version,
        event_type: &event.event_type,
        schema_version: event.schema_version,
        event_id: event.event_id,
        payload: &event.payload,
        meta: &event.meta,
    };
    let LeafParts { head, middle, tail } = fields.parts();
    let (sequence, recorded) =
        (event.tenant_seq.to_be_bytes(), event.recorded_at.timestamp_micros().to_be_bytes());
    let whole = [&head[..], &sequence, &middle, &recorded, &tail].concat();
    let mut leaf = [0; 32];
    leaf.copy_from_slice(digest(&SHA256, &whole).as_ref());
    leaf
}
