#include "meta_learner/store/paging.h"

#include <algorithm>

#include <absl/strings/escaping.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <google/protobuf/util/time_util.h>

#include "common/check.h"
#include "common/hash.h"
#include "common/resources/states.h"
#include "common/status.h"

namespace mentor::meta_learner {
namespace {

using S = v1::Experiment;

absl::StatusOr<std::function<std::string(const S&)>> KeyOfField(std::string_view field) {
  using google::protobuf::util::TimeUtil;
  const auto time = [](const google::protobuf::Timestamp& timestamp) {
    return absl::StrFormat("%020d", TimeUtil::TimestampToNanoseconds(timestamp));
  };
  if (field == "create_time") return [=](const S& e) { return time(e.create_time()); };
  if (field == "update_time") return [=](const S& e) { return time(e.update_time()); };
  if (field == "state") return [](const S& e) { return std::string(StateText(e.state())); };
  if (field == "priority") return [](const S& e) { return absl::StrCat(e.priority()); };
  if (field == "name") return [](const S&) { return std::string(); };
  return BadField("order_by",
                  absl::StrFormat("is '%s'; give one of name, create_time, update_time, state, "
                                  "priority, with ' desc' behind it to reverse the order",
                                  std::string(field.substr(0, 100))));
}

absl::Status BadToken() {
  return MakeError(Reason::kPageTokenMismatch,
                   "page_token is not one of this server's, or belongs to another filter or order; "
                   "leave it out to begin with the first page");
}

}  // namespace

int PageSize(int asked, Violations* violations) {
  constexpr int kDefault = 50, kMax = 1000;
  if (asked < 0) {
    violations->Add("page_size",
                    absl::StrFormat("is %d; give 0 for the default, or a positive number", asked));
  }
  return asked <= 0 ? kDefault : std::min(asked, kMax);
}

int PageSizeOrAll(int asked, Violations* violations) {
  return asked == 0 ? 0 : PageSize(asked, violations);
}

// Web-safe base64 of the text behind its CRC32C, 8 hex digits.
std::string MakeToken(const std::string& text) {
  return absl::WebSafeBase64Escape(absl::StrFormat("%08x%s", Crc32c(text), text));
}

std::optional<std::string> ReadToken(std::string_view token, size_t bytes_max) {
  std::string text;
  if (token.size() >= bytes_max || !absl::WebSafeBase64Unescape(std::string(token), &text) ||
      text.size() < 8)
    return std::nullopt;
  const std::string crc = text.substr(0, 8);
  text.erase(0, 8);
  return crc == absl::StrFormat("%08x", Crc32c(text)) ? std::make_optional(text) : std::nullopt;
}

// The first 16 hex digits of the query's SHA-256, then the last key.
std::string MakePageToken(const std::string& query, const std::string& last) {
  return MakeToken(Sha256Hex(query).substr(0, 16) + last);
}

absl::StatusOr<std::string> ReadPageToken(std::string_view token, const std::string& query) {
  if (token.empty()) return std::string();
  const auto text = ReadToken(token, 2000);
  if (text && text->starts_with(Sha256Hex(query).substr(0, 16))) return text->substr(16);
  return BadToken();
}

absl::StatusOr<size_t> ReadPlace(std::string_view token, const std::string& query) {
  MENTOR_ASSIGN_OR_RETURN(const std::string last, ReadPageToken(token, query));
  size_t place = 0;
  if (!last.empty() && !absl::SimpleAtoi(last, &place)) return BadToken();
  return place;
}

absl::StatusOr<ListOrder> ParseOrder(std::string_view order_by) {
  constexpr std::string_view kDescending = " desc";
  ListOrder order{.field = order_by.empty() ? "name" : std::string(order_by),
                  .descending = order_by.ends_with(kDescending),
                  .key = {}};
  if (order.descending) order.field.resize(order.field.size() - kDescending.size());
  MENTOR_ASSIGN_OR_RETURN(const auto key, KeyOfField(order.field));
  order.key = [key](const S& experiment) { return key(experiment) + "\n" + experiment.name(); };
  return order;
}

}  // namespace mentor::meta_learner
