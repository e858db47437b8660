#include "meta_learner/store/row_digest.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "common/check.h"
#include "common/hash.h"

namespace mentor::meta_learner::sql {
namespace {

// digest = SHA-256, in hexadecimal, of "mentor row 1 TABLE\n" value*
// value  = type length ":" bytes; an integer in decimal, text and blobs as they are
std::string DigestOf(const Table& table, const Query& row) {
  Sha256 hash;
  hash.Update(absl::StrCat("mentor row 1 ", std::string(table.name), "\n"));
  for (size_t i = 0; i + 1 < table.types.size(); ++i) {
    const int column = static_cast<int>(i);
    const char type = table.types[i];
    MENTOR_CHECK(type != 'r');  // Tables with a digest have no such column.
    const std::string value = type == 'i' ? absl::StrCat(row.Integer(column)) : row.Text(column);
    hash.Update(absl::StrFormat("%c%d:", type, value.size()));
    hash.Update(value);
  }
  return ToHex(hash.Finish());
}

int DigestColumn(const Table& table) {
  return static_cast<int>(table.types.size()) - 1;
}

std::vector<std::string> KeyColumns(const Table& table) {
  MENTOR_CHECK(!table.key.empty());
  return absl::StrSplit(std::string(table.key), ", ");
}

// " WHERE uid = ? AND ..."
std::string Condition(const Table& table) {
  return absl::StrCat(" WHERE ", absl::StrJoin(KeyColumns(table), " = ? AND "), " = ?");
}

void BindKey(const RowKey& key, Query* query) {
  for (const auto& value : key) {
    if (const auto* number = std::get_if<int64_t>(&value)) {
      query->Bind(*number);
    } else {
      query->Bind(std::get<std::string>(value));
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<RowKey>> KeysOf(const Table& table, Database* database) {
  const std::vector<std::string> columns = absl::StrSplit(std::string(table.columns), ", ");
  std::vector<char> types;
  for (const std::string& name : KeyColumns(table)) {
    const auto found = std::find(columns.begin(), columns.end(), name);
    types.push_back(table.types[static_cast<size_t>(found - columns.begin())]);
  }
  std::vector<RowKey> keys;
  auto rows = database->Query(
      absl::StrCat("SELECT ", std::string(table.key), " FROM ", std::string(table.name)));
  MENTOR_RETURN_IF_ERROR(rows.ForEach([&](const Query& row) {
    RowKey& key = keys.emplace_back();
    for (size_t i = 0; i < types.size(); ++i) {
      const int column = static_cast<int>(i);
      if (types[i] == 'i') {
        key.emplace_back(row.Integer(column));
      } else {
        key.emplace_back(row.Text(column));
      }
    }
  }));
  return keys;
}

bool IsProved(const Table& table, const Query& row) {
  return row.Text(DigestColumn(table)) == DigestOf(table, row);
}

absl::Status Seal(const Table& table, const RowKey& key, Database* database) {
  std::string digest;
  {
    auto row = database->Query(absl::StrCat("SELECT ", std::string(table.columns), " FROM ",
                                            std::string(table.name), Condition(table)));
    BindKey(key, &row);
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return absl::OkStatus();
    digest = DigestOf(table, row);
  }
  auto write = database->Query(
      absl::StrCat("UPDATE ", std::string(table.name), " SET digest = ?", Condition(table)),
      digest);
  BindKey(key, &write);
  return write.Run();
}

int64_t PointCrc(std::string_view uid, std::string_view metric, int64_t step, double value) {
  // Databases keep neither the bits of what is not a number nor the sign of zero.
  value = std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value + 0.0;
  return Crc32c(
      absl::StrFormat("%s %s %d %016x", uid, metric, step, std::bit_cast<uint64_t>(value)));
}

bool IsProvedPoint(int64_t crc, std::string_view uid, std::string_view metric, int64_t step,
                   double value) {
  return crc == -1 || crc == PointCrc(uid, metric, step, value);
}

}  // namespace mentor::meta_learner::sql
