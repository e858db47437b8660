// Pages of lists: how long one is, the token that leads to the next one, and the orders that
// ListExperiments knows. Not for what stands in a page, which is up to whoever reads the rows. Pure
// functions; threads may share.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "common/violations.h"
#include "mentor/v1/experiment.pb.h"

namespace mentor::meta_learner {

// Rows of a page: what was asked for, 50 for 0, at most 1000. Negative is a violation.
int PageSize(int asked, Violations* violations);

// Bytes of a page. An answer may be twice as long (common/rpc/server.h).
inline constexpr size_t kPageBytesMax = 4 << 20;

// What still fits into a page: so many items and kPageBytesMax together. The first one always does.
class PageRoom {
 public:
  // 0: only the bytes count.
  explicit PageRoom(int items_max) : items_max_(static_cast<size_t>(items_max)) {}
  // False: the next page begins with it.
  bool Take(size_t bytes) {
    constexpr size_t kAround = 8;  // Tag and length.
    if (items_ > 0 && (items_ == items_max_ || bytes_ + bytes + kAround > kPageBytesMax))
      return false;
    ++items_;
    bytes_ += bytes + kAround;
    return true;
  }

 private:
  const size_t items_max_;
  size_t items_ = 0, bytes_ = 0;
};

// Rows of a page where 0 asks for as many as fit: 0 then. Negative is a violation.
int PageSizeOrAll(int asked, Violations* violations);
// The place in a list that a token of MakePageToken leads to; 0 for an empty one.
absl::StatusOr<size_t> ReadPlace(std::string_view token, const std::string& query);

// Leads on behind the row with the key `last`; good for the same query alone.
std::string MakePageToken(const std::string& query, const std::string& last);
// -> `last`; empty for an empty token. INVALID_ARGUMENT PAGE_TOKEN_MISMATCH for one of another
// query, or of nobody.
absl::StatusOr<std::string> ReadPageToken(std::string_view token, const std::string& query);

struct ListOrder {
  std::string field;
  bool descending = false;
  // Sorts as the order says, byte by byte. Unique, since the name ends it.
  std::function<std::string(const v1::Experiment&)> key;
};
// Of "create_time desc"; by name when empty. INVALID_ARGUMENT names the fields that there are.
absl::StatusOr<ListOrder> ParseOrder(std::string_view order_by);

}  // namespace mentor::meta_learner
