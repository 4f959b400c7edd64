//! The codes of `google.rpc.Status`, which are gRPC's status codes too.

/// Why a request failed: `google.rpc.Code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RpcCode {
    /// It did not fail.
    Ok = 0,
    /// The client gave up.
    Cancelled = 1,
    /// Nothing more is known.
    Unknown = 2,
    /// The request is wrong, whatever state the receiver is in.
    InvalidArgument = 3,
    /// It took too long.
    DeadlineExceeded = 4,
    /// What was asked for is not there.
    NotFound = 5,
    /// What was to be made is there already.
    AlreadyExists = 6,
    /// The client is known and not allowed.
    PermissionDenied = 7,
    /// A limit is reached.
    ResourceExhausted = 8,
    /// The receiver is not in the state that the request needs.
    FailedPrecondition = 9,
    /// Another request was in the way.
    Aborted = 10,
    /// The request reaches past the valid range.
    OutOfRange = 11,
    /// There is no such method, or it is not offered.
    Unimplemented = 12,
    /// The receiver is broken.
    Internal = 13,
    /// The receiver cannot serve the request at present; the client may try again.
    Unavailable = 14,
    /// Data is lost or damaged.
    DataLoss = 15,
    /// The client has no valid credentials.
    Unauthenticated = 16,
}

impl RpcCode {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }
}
