// PostgreSQL behind the store's Database, for operators who have one. One meta-learner writes into
// a database: it holds an advisory lock of its session, and the fencing number that each of its
// transactions looks at. A lost connection is an UNAVAILABLE error; the next statement outside of a
// transaction connects again. lease.h has who leads when several share the database.
//
//   fence(number)               raised by whoever begins to write
//   lease(number, leader, beat) of the writer of that number: its address, and a count that it
//                               raises; a table of its own, since transactions hold the row of
//                               `fence`, and older versions know that one alone
#pragma once

#include <memory>
#include <string>

#include <absl/status/statusor.h>

#include "meta_learner/store/database.h"

namespace mentor::meta_learner::sql {

// True for "postgresql://..." and "postgres://...".
bool IsPostgresAddress(std::string_view address);

// `address` is a connection URI of libpq without a password: those belong into PGPASSFILE or
// PGPASSWORD, since command lines are seen by everybody. FAILED_PRECONDITION IN_USE when another
// meta-learner has the database.
absl::StatusOr<std::unique_ptr<Database>> OpenPostgres(const std::string& address, bool read_only);
// The same for writing, without waiting for a predecessor whose session is about to end.
absl::StatusOr<std::unique_ptr<Database>> TryToLead(const std::string& address);
// A connection that neither leads nor is kept from writing: for the lease.
absl::StatusOr<std::unique_ptr<Database>> ConnectPostgres(const std::string& address);

// The sessions that hold the lock, as a condition on pg_locks.
std::string HoldsTheLock();

}  // namespace mentor::meta_learner::sql
