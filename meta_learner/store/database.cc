#include "meta_learner/store/database.h"

namespace mentor::meta_learner::sql {

absl::Status Query::Run() {
  const auto row = Step();
  MENTOR_CHECK(!row.ok() || !*row);
  return row.status();
}

absl::StatusOr<std::unique_ptr<Transaction>> Transaction::Begin(Database* database) {
  MENTOR_RETURN_IF_ERROR(database->Begin());
  return std::unique_ptr<Transaction>(new Transaction(database));
}

absl::StatusOr<std::unique_ptr<Transaction>> Transaction::BeginRead(Database* database) {
  MENTOR_RETURN_IF_ERROR(database->BeginRead());
  return std::unique_ptr<Transaction>(new Transaction(database));
}

absl::StatusOr<std::vector<std::string>> FirstColumn(Database* database, const std::string& sql) {
  std::vector<std::string> texts;
  MENTOR_RETURN_IF_ERROR(
      database->Query(sql).ForEach([&](const Query& row) { texts.push_back(row.Text(0)); }));
  return texts;
}

Transaction::~Transaction() {
  // Databases roll back on their own after some errors.
  if (database_->in_transaction()) database_->Execute("ROLLBACK").IgnoreError();
}

}  // namespace mentor::meta_learner::sql
