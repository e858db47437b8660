// PostgreSQL behind the store's Database, for operators who have one. One meta-learner uses a
// database: the writer holds an advisory lock of its session. A lost connection is an UNAVAILABLE
// error; the next statement outside of a transaction connects again.
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

}  // namespace mentor::meta_learner::sql
