// Pages of lists: their size, the tokens to the next page, and the orders of ListExperiments. The
// caller reads the rows of a page. Pure functions; thread-safe.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "common/violations.h"
#include "mentor/v1/experiment.pb.h"

namespace mentor::meta_learner {

// Returns the rows of a page: `asked`, 50 for 0, at most 1000. Negative is a violation.
int PageSize(int asked, Violations* violations);

// Bytes of a page. A response may be twice as long (common/rpc/server.h).
inline constexpr size_t kPageBytesMax = 4 << 20;

// Counts what still fits into a page: items_max items and bytes_max bytes. The first item always
// fits.
class PageRoom {
 public:
  // items_max 0: only the bytes count.
  explicit PageRoom(int items_max, size_t bytes_max = kPageBytesMax)
      : items_max_(static_cast<size_t>(items_max)), bytes_max_(bytes_max) {}
  // Returns false if the item must begin the next page.
  bool Take(size_t bytes) {
    constexpr size_t kAround = 8;  // Tag and length.
    if (items_ > 0 && (items_ == items_max_ || bytes_ + bytes + kAround > bytes_max_)) return false;
    ++items_;
    bytes_ += bytes + kAround;
    return true;
  }

 private:
  const size_t items_max_, bytes_max_;
  size_t items_ = 0, bytes_ = 0;
};

// As PageSize, but 0 asks for as many rows as fit and returns 0.
int PageSizeOrAll(int asked, Violations* violations);
// Returns the index in a list from a token of MakePageToken; 0 for an empty token.
absl::StatusOr<size_t> ReadPlace(std::string_view token, const std::string& query);

// A token for callers that holds this text; and the text of a token of at most `bytes_max`, if it
// is whole.
std::string MakeToken(const std::string& text);
std::optional<std::string> ReadToken(std::string_view token, size_t bytes_max);
// Returns a token that continues after the row with key `last`. Valid only for the same query.
std::string MakePageToken(const std::string& query, const std::string& last);
// Returns `last`; empty for an empty token. Returns INVALID_ARGUMENT PAGE_TOKEN_MISMATCH for an
// invalid token or one of another query.
absl::StatusOr<std::string> ReadPageToken(std::string_view token, const std::string& query);

struct ListOrder {
  std::string field;
  bool descending = false;
  // Sort key, compared byte by byte. Unique, since it ends with the name.
  std::function<std::string(const v1::Experiment&)> key;
};
// Parses an order such as "create_time desc"; empty: by name. Returns INVALID_ARGUMENT with the
// known fields.
absl::StatusOr<ListOrder> ParseOrder(std::string_view order_by);

}  // namespace mentor::meta_learner
