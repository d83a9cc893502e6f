package amqp

// Message formats [2.7.5].
const (
	FormatMessage uint32 = 0          // one message
	FormatBatch   uint32 = 0x80013700 // a message whose data sections are messages, one for each event
)

// Error conditions of AMQP [2.8.15].
const (
	CondInternalError         Symbol = "amqp:internal-error"
	CondNotFound              Symbol = "amqp:not-found"
	CondUnauthorizedAccess    Symbol = "amqp:unauthorized-access"
	CondDecodeError           Symbol = "amqp:decode-error"
	CondResourceLimitExceeded Symbol = "amqp:resource-limit-exceeded"
	CondNotAllowed            Symbol = "amqp:not-allowed"
	CondInvalidField          Symbol = "amqp:invalid-field"
	CondNotImplemented        Symbol = "amqp:not-implemented"
	CondResourceLocked        Symbol = "amqp:resource-locked"
	CondPreconditionFailed    Symbol = "amqp:precondition-failed"
	CondResourceDeleted       Symbol = "amqp:resource-deleted"
	CondIllegalState          Symbol = "amqp:illegal-state"
	CondFrameSizeTooSmall     Symbol = "amqp:frame-size-too-small"
)

// Error conditions of connections [2.8.16], sessions [2.8.17] and links [2.8.18].
const (
	CondConnectionForced   Symbol = "amqp:connection:forced"
	CondFramingError       Symbol = "amqp:connection:framing-error"
	CondConnectionRedirect Symbol = "amqp:connection:redirect"

	CondWindowViolation  Symbol = "amqp:session:window-violation"
	CondErrantLink       Symbol = "amqp:session:errant-link"
	CondHandleInUse      Symbol = "amqp:session:handle-in-use"
	CondUnattachedHandle Symbol = "amqp:session:unattached-handle"

	CondDetachForced          Symbol = "amqp:link:detach-forced"
	CondTransferLimitExceeded Symbol = "amqp:link:transfer-limit-exceeded"
	CondMessageSizeExceeded   Symbol = "amqp:link:message-size-exceeded"
	CondLinkRedirect          Symbol = "amqp:link:redirect"
	CondLinkStolen            Symbol = "amqp:link:stolen"
)

// Error conditions of the Event Hubs and Service Bus family, as recorded or as its clients know them.
const (
	CondServerBusy              Symbol = "com.microsoft:server-busy"
	CondTimeout                 Symbol = "com.microsoft:timeout"
	CondOperationCancelled      Symbol = "com.microsoft:operation-cancelled"
	CondContainerClose          Symbol = "com.microsoft:container-close"
	CondArgumentError           Symbol = "com.microsoft:argument-error"
	CondArgumentOutOfRange      Symbol = "com.microsoft:argument-out-of-range"
	CondEntityDisabled          Symbol = "com.microsoft:entity-disabled"
	CondEntityUpdated           Symbol = "com.microsoft:entity-updated"
	CondEntityAlreadyExists     Symbol = "com.microsoft:entity-already-exists"
	CondAuthFailed              Symbol = "com.microsoft:auth-failed"
	CondServicePrecondition     Symbol = "com.microsoft:precondition-failed"
	CondPublisherRevoked        Symbol = "com.microsoft:publisher-revoked"
	CondPartitionNotOwned       Symbol = "com.microsoft:partition-not-owned"
	CondStoreLockLost           Symbol = "com.microsoft:store-lock-lost"
	CondMessageLockLost         Symbol = "com.microsoft:message-lock-lost"
	CondSessionLockLost         Symbol = "com.microsoft:session-lock-lost"
	CondSessionCannotBeLocked   Symbol = "com.microsoft:session-cannot-be-locked"
	CondMessageNotFound         Symbol = "com.microsoft:message-not-found"
	CondNoMatchingSubscription  Symbol = "com.microsoft:no-matching-subscription"
	CondProducerEpochStolen     Symbol = "com.microsoft:producer-epoch-stolen"
	CondOutOfOrderSequence      Symbol = "com.microsoft:out-of-order-sequence"
	CondGeoReplicationBadOffset Symbol = "com.microsoft:georeplication:invalid-offset"
)
