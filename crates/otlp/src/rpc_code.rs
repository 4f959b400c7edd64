//! The codes of `google.rpc.Status`, which are also the status codes of gRPC.

/// The outcome of a request: `google.rpc.Code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RpcCode {
    /// The request succeeded.
    Ok = 0,
    /// The client cancelled the request.
    Cancelled = 1,
    /// The cause is unknown.
    Unknown = 2,
    /// The request is invalid, regardless of the state of the receiver.
    InvalidArgument = 3,
    /// The request took too long.
    DeadlineExceeded = 4,
    /// The requested resource does not exist.
    NotFound = 5,
    /// The resource to create exists already.
    AlreadyExists = 6,
    /// The client is authenticated but not allowed to do this.
    PermissionDenied = 7,
    /// A limit or quota is exhausted.
    ResourceExhausted = 8,
    /// The receiver is not in the state that the request needs.
    FailedPrecondition = 9,
    /// The request was aborted because of a conflict with another one.
    Aborted = 10,
    /// The request is outside the valid range.
    OutOfRange = 11,
    /// The method does not exist, or is not supported.
    Unimplemented = 12,
    /// The receiver had an internal error.
    Internal = 13,
    /// The receiver cannot serve the request at present; the client may retry.
    Unavailable = 14,
    /// Data is lost or corrupted.
    DataLoss = 15,
    /// The client has no valid credentials.
    Unauthenticated = 16,
}

impl RpcCode {
    /// Returns the number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }
}
