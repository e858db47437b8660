#include "cli/ctl/client.h"

#include <absl/strings/cord.h>

#include "google/rpc/error_details.pb.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

using namespace mentor::ctl;

absl::Status With(absl::Status status, int seconds) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(seconds);
  status.SetPayload("type.googleapis.com/google.rpc.RetryInfo",
                    absl::Cord(info.SerializeAsString()));
  return status;
}

TEST_CASE("client: what is tried again, and when", "[unit]") {
  using std::chrono::milliseconds;
  const absl::Status lost = absl::UnavailableError("x");
  CHECK(RetryAfter(lost, 0, 0.5)->count() == 50);  // 0.1 s, 0.2 s, ... 2 s.
  CHECK(RetryAfter(lost, 1, 0.5)->count() == 100);
  CHECK(RetryAfter(lost, 30, 0.5)->count() == 1000);
  // The server's word counts, never less than it and a tenth more at most.
  for (const double uniform : {0.01, 0.99}) {
    const auto pause = RetryAfter(With(absl::ResourceExhaustedError("x"), 3), 0, uniform);
    CHECK(*pause >= milliseconds(3000));
    CHECK(*pause <= milliseconds(3301));
  }
  CHECK(*RetryAfter(With(lost, 3), 0, 0.5) >= milliseconds(3000));
  CHECK(*RetryAfter(With(lost, -5), 0, 0.5) >= milliseconds(0));
  CHECK(*RetryAfter(With(lost, 1 << 30), 0, 0.5) <= std::chrono::hours(2));
  CHECK(!RetryAfter(absl::ResourceExhaustedError("x"), 0, 0.5));
  CHECK(!RetryAfter(absl::NotFoundError("x"), 0, 0.5));
  CHECK(!RetryAfter(With(absl::InternalError("x"), 1), 0, 0.5));
}

}  // namespace mentor::TEST_FILE
