// Finds experiments: by name, by page, by state, and in the queue.
#include <map>
#include <optional>
#include <string>
#include <utility>

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "meta_learner/store/paging.h"
#include "meta_learner/store/schema.h"
#include "meta_learner/store/sql_rows.h"
#include "meta_learner/store/store_database.h"

namespace mentor::meta_learner {
namespace {

absl::StatusOr<ExperimentPage> ListByName(StoreDatabase* database, const ListQuery& query,
                                          int page_size, const std::string& after)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(database->reader_mutex) {
  ExperimentPage page;
  MENTOR_ASSIGN_OR_RETURN(page.total_size,
                          database->reader->Number("SELECT count(*) FROM experiments"));
  auto row = database->reader->Query(sql::Select("experiments", "WHERE id > ? ORDER BY id LIMIT ?"),
                                     after, int64_t{page_size} + 1);
  // Unreadable rows count towards the size of a page.
  PageRoom room(page_size);
  std::string last;
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return page;
    v1::Experiment experiment;
    MENTOR_ASSIGN_OR_RETURN(const bool readable, database->Read(row, &experiment));
    if (!room.Take(readable ? experiment.ByteSizeLong() : 0)) {
      page.next_page_token = MakePageToken(query.key, last);
      return page;
    }
    last = row.Text(sql::kIdColumn);
    if (readable) page.experiments.push_back(std::move(experiment));
  }
}

}  // namespace

absl::StatusOr<v1::Experiment> Records::Get(std::string_view name) {
  MENTOR_ASSIGN_OR_RETURN(const std::string id, sql::RequireId(name));
  const MutexLock lock(database_->reader_mutex);
  return database_->GetWith(database_->reader.get(), id);
}

absl::StatusOr<ExperimentPage> Records::List(const ListQuery& query) {
  Violations violations;
  const int page_size = PageSize(query.page_size, &violations);
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  MENTOR_ASSIGN_OR_RETURN(const ListOrder order, ParseOrder(query.order_by));
  MENTOR_ASSIGN_OR_RETURN(const std::string after, ReadPageToken(query.page_token, query.key));
  const MutexLock lock(database_->reader_mutex);
  MENTOR_ASSIGN_OR_RETURN(const auto transaction,
                          sql::Transaction::BeginRead(database_->reader.get()));
  MENTOR_ASSIGN_OR_RETURN(const int64_t revision, database_->RevisionOf(database_->reader.get()));
  ExperimentPage page;
  if (query.matches == nullptr && order.field == "name" && !order.descending) {
    MENTOR_ASSIGN_OR_RETURN(page, ListByName(database_, query, page_size, after));
    page.revision = revision;
    return page;
  }
  // Filters and other orders read every row; there are at most some thousands. The best rows so
  // far, in order, at most one page.
  const auto before = [&](const std::string& a, const std::string& b) {
    return order.descending ? a > b : a < b;
  };
  std::map<std::string, std::pair<size_t, v1::Experiment>, decltype(before)> rest(before);
  size_t rest_bytes = 0;
  std::optional<std::string> cut;  // The first key that did not fit.
  auto row = database_->reader->Query(sql::Select("experiments", "ORDER BY id"));
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) break;
    v1::Experiment experiment;
    MENTOR_ASSIGN_OR_RETURN(const bool readable, database_->Read(row, &experiment));
    if (!readable) continue;
    if (query.matches != nullptr && !query.matches(experiment)) continue;
    ++page.total_size;
    std::string key = order.key(experiment);
    if (!after.empty() && !before(after, key)) continue;
    if (cut && !before(key, *cut)) continue;
    const size_t bytes = experiment.ByteSizeLong();
    rest_bytes += bytes;
    rest.try_emplace(std::move(key), bytes, std::move(experiment));
    while (static_cast<int>(rest.size()) > page_size ||
           (rest.size() > 1 && rest_bytes > kPageBytesMax)) {
      const auto last = std::prev(rest.end());
      cut = last->first;
      rest_bytes -= last->second.first;
      rest.erase(last);
    }
  }
  if (cut) page.next_page_token = MakePageToken(query.key, rest.rbegin()->first);
  for (auto& [key, entry] : rest) page.experiments.push_back(std::move(entry.second));
  page.revision = revision;
  return page;
}

absl::StatusOr<std::vector<v1::Experiment>> Records::InStates(const std::set<State>& states) {
  if (states.empty()) return std::vector<v1::Experiment>();
  const std::string list = absl::StrJoin(
      states, ", ", [](std::string* out, State state) { out->append(std::to_string(state)); });
  const MutexLock lock(database_->reader_mutex);
  auto row = database_->reader->Query(
      sql::Select("experiments", absl::StrFormat("WHERE state IN (%s) ORDER BY number", list)));
  return database_->ReadAll(&row);
}

absl::StatusOr<std::map<State, int64_t>> Records::CountByState() {
  std::map<State, int64_t> counts;
  const MutexLock lock(database_->reader_mutex);
  MENTOR_RETURN_IF_ERROR(
      database_->reader->Query("SELECT state, count(*) FROM experiments GROUP BY state")
          .ForEach([&](const sql::Query& row) {
            counts[static_cast<State>(row.Integer(0))] = row.Integer(1);
          }));
  return counts;
}

// ---- The queue.

absl::StatusOr<std::vector<QueueHead>> Records::QueueHeads(const std::set<std::string>& except) {
  std::string condition;
  for (size_t i = 0; i < except.size(); ++i) condition += i == 0 ? "?" : ", ?";
  if (!condition.empty()) condition = " AND id NOT IN (" + condition + ")";
  std::vector<QueueHead> heads;
  const MutexLock lock(database_->reader_mutex);
  auto rows = database_->reader->Query(
      "SELECT x.priority, x.owner, x.id, x.number FROM experiments x JOIN (SELECT MIN(number) AS "
      "head FROM experiments WHERE state = ?" +
          condition + " GROUP BY priority, owner) h ON x.number = h.head ORDER BY x.number",
      v1::Experiment::STATE_QUEUED);
  for (const std::string& name : except) rows.Bind(ExperimentIdOf(name).value_or(""));
  MENTOR_RETURN_IF_ERROR(rows.ForEach([&](const sql::Query& row) {
    heads.push_back({.priority = static_cast<v1::Priority>(row.Integer(0)),
                     .owner = row.Text(1),
                     .name = ExperimentName(row.Text(2)),
                     .number = row.Integer(3)});
  }));
  return heads;
}

absl::StatusOr<std::map<std::string, OwnerUsage>> Records::Usage() {
  std::map<std::string, OwnerUsage> usage;
  const MutexLock lock(database_->reader_mutex);
  auto counts = database_->reader->Query(
      "SELECT owner, state, count(*) FROM experiments GROUP BY owner, state");
  MENTOR_RETURN_IF_ERROR(counts.ForEach([&](const sql::Query& row) {
    const State state = static_cast<State>(row.Integer(1));
    if (state == v1::Experiment::STATE_QUEUED || state == v1::Experiment::STATE_PAUSED)
      usage[row.Text(0)].waiting += row.Integer(2);
    if (state == v1::Experiment::STATE_QUEUED) usage[row.Text(0)].queued += row.Integer(2);
    if (IsAtWork(state)) usage[row.Text(0)].running += row.Integer(2);
  }));
  auto sizes = database_->reader->Query(
      "SELECT x.owner, CAST(SUM(c.size_bytes) AS BIGINT) FROM checkpoints c JOIN experiments x ON "
      "x.uid = c.uid GROUP BY x.owner");
  MENTOR_RETURN_IF_ERROR(sizes.ForEach(
      [&](const sql::Query& row) { usage[row.Text(0)].checkpoint_bytes = row.Integer(1); }));
  return usage;
}

absl::StatusOr<std::vector<v1::Experiment>> Records::PastDeadline(int64_t now_ns) {
  const MutexLock lock(database_->reader_mutex);
  auto row = database_->reader->Query(sql::Select(
      "experiments",
      absl::StrFormat(
          "WHERE deadline > 0 AND deadline <= ? AND state NOT IN (%d, %d, %d) ORDER BY number",
          v1::Experiment::STATE_CANCELLED, v1::Experiment::STATE_SUCCEEDED,
          v1::Experiment::STATE_FAILED)));
  return database_->ReadAll(&row.Bind(now_ns));
}

absl::StatusOr<std::vector<v1::Experiment>> Records::Expired(int64_t now_ns) {
  const MutexLock lock(database_->reader_mutex);
  auto row = database_->reader->Query(
      sql::Select("experiments", "WHERE expire_time > 0 AND expire_time <= ? ORDER BY number"));
  return database_->ReadAll(&row.Bind(now_ns));
}

}  // namespace mentor::meta_learner
