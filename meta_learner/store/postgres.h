// PostgreSQL implementation of the store's Database. Only one meta-learner writes into a database:
// it holds a session advisory lock, and each of its transactions checks the fencing number. A lost
// connection is an UNAVAILABLE error; the next statement outside of a transaction reconnects.
// lease.h decides which process leads when several share the database.
//
//   fence(number)               raised by each new writer
//   lease(number, leader, beat) the writer of that number: its address, and a count that it
//                               raises; a separate table, since transactions lock the row of
//                               `fence`, and older versions know only `fence`
#pragma once

#include <memory>
#include <string>

#include <absl/status/statusor.h>

#include "meta_learner/store/database.h"

namespace mentor::meta_learner::sql {

// True for "postgresql://..." and "postgres://...".
bool IsPostgresAddress(std::string_view address);

// `address` is a connection URI of libpq without a password. Passwords belong in PGPASSFILE or
// PGPASSWORD, since all users can read command lines. Returns FAILED_PRECONDITION IN_USE when
// another meta-learner has the database.
absl::StatusOr<std::unique_ptr<Database>> OpenPostgres(const std::string& address, bool read_only);
// The same for writing, but does not wait for a predecessor's session to end.
absl::StatusOr<std::unique_ptr<Database>> TryToLead(const std::string& address);
// Returns a connection for the lease: it does not lead, but may write.
absl::StatusOr<std::unique_ptr<Database>> ConnectPostgres(const std::string& address);

// Returns a condition on pg_locks that selects the sessions that hold the lock.
std::string HoldsTheLock();

}  // namespace mentor::meta_learner::sql
