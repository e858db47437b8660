#include "cli/ctl/values.h"

#include "common/resources/states.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

using namespace mentor::ctl;

TEST_CASE("values: names with and without their collection", "[unit]") {
  CHECK(FullName("a") == "experiments/a");
  CHECK(FullName("experiments/a") == "experiments/a");
  CHECK(ShortName("experiments/a") == "a");
  CHECK(*FullCheckpointName("a/checkpoints/42") == "experiments/a/checkpoints/00000042");
  CHECK(*FullCheckpointName("experiments/a/checkpoints/00000042") ==
        "experiments/a/checkpoints/00000042");
  for (const char* bad : {"a", "a/checkpoints/", "/checkpoints/1", "a/b/1", "a/checkpoints/1/2"}) {
    CHECK(absl::IsInvalidArgument(FullCheckpointName(bad).status()));
  }
  CHECK(LastPart("a/b/c") == "c");
  CHECK(ShortPeer("actors/25e027aa-24ca-4636-aea2-053ff4707a65") == "actors/25e027aa");
  CHECK(ShortPeer("actors/mine") == "actors/mine");
}

TEST_CASE("values: spans and times", "[unit]") {
  CHECK(*ParseSpan("--x", "90s") == absl::Seconds(90));
  CHECK(*ParseSpan("--x", "1h30m") == absl::Minutes(90));
  CHECK(*ParseSpan("--x", "7d") == absl::Hours(168));
  CHECK(*ParseSpan("--x", "1d12h") == absl::Hours(36));
  CHECK(*ParseSpan("--x", "1.5d") == absl::Hours(36));
  for (const char* bad :
       {"", "2", "h", "d", "-1h", "0s", "2 h", "1h2d", "nan", "inf", "99999999d"}) {
    INFO(bad);
    const auto span = ParseSpan("--x", bad);
    REQUIRE(absl::IsInvalidArgument(span.status()));
    CHECK(span.status().message().find("--x '") == 0);
  }
  const absl::Time now = absl::FromUnixSeconds(1000);
  CHECK(*ParseWhen("--x", "2h", now) == now + absl::Hours(2));
  CHECK(*ParseWhen("--x", "1970-01-02T00:00:00Z", now) == absl::FromUnixSeconds(86400));
  CHECK(*ParseWhen("--x", "1970-01-02T01:00:00+01:00", now) == absl::FromUnixSeconds(86400));
  CHECK(!ParseWhen("--x", "tomorrow", now).ok());
}

TEST_CASE("values: protobuf's times and back", "[unit]") {
  for (const absl::Duration span : {absl::Milliseconds(1500), absl::Nanoseconds(1)}) {
    CHECK(FromProto(ToProto(span)) == span);
    CHECK(FromProto(ToProto(absl::UnixEpoch() + span)) == absl::UnixEpoch() + span);
  }
  CHECK(FromProto(ToProto(absl::UnixEpoch() - absl::Milliseconds(1))) ==
        absl::UnixEpoch() - absl::Milliseconds(1));
}

TEST_CASE("values: labels, states and priorities in the letters of their users", "[unit]") {
  CHECK(*ParseLabel("--label", "a=b=c") == std::pair<std::string, std::string>("a", "b=c"));
  CHECK(ParseLabel("--label", "a=")->second.empty());
  CHECK(!ParseLabel("--label", "=b").ok());
  CHECK(!ParseLabel("--label", "a").ok());
  CHECK(*ParseState("--state", "running") == v1::Experiment::STATE_RUNNING);
  CHECK(*ParseState("--state", "STATE_FAILED") == v1::Experiment::STATE_FAILED);
  CHECK(!ParseState("--state", "unspecified").ok());
  CHECK(*ParsePriority("--priority", "High") == v1::PRIORITY_HIGH);
  CHECK(!ParsePriority("--priority", "5").ok());
  CHECK(mentor::PriorityText(v1::PRIORITY_UNSPECIFIED) == "NORMAL");
}

TEST_CASE("values: what people read", "[unit]") {
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  CHECK(Ago(now - absl::Seconds(12), now) == "12s ago");
  CHECK(Ago(now - absl::Seconds(120), now) == "2m ago");
  CHECK(Ago(now - absl::Hours(2), now) == "2h ago");
  CHECK(Ago(now - absl::Hours(48), now) == "2d ago");
  CHECK(Ago(now + absl::Hours(3), now) == "in 3h");
  CHECK(Ago(now + absl::Milliseconds(500), now) == "0s ago");  // Clocks differ a little.
  CHECK(Span(45) == "45 s");
  CHECK(Span(151) == "2:31");
  CHECK(Span(93900) == "26:05:00");
  CHECK(Span(-1) == "-");
  CHECK(Count(7) == "7");
  CHECK(Count(41234) == "41.2k");
  CHECK(Count(999'960) == "1.0M");
  CHECK(Bytes(812) == "812 B");
  CHECK(Bytes(4300) == "4.2 KiB");
  CHECK(Bytes(uint64_t{5} << 30) == "5.0 GiB");
  CHECK(Number(0.1) == "0.1");
  CHECK(std::stod(Number(1.0 / 3)) == 1.0 / 3);
}

}  // namespace mentor::TEST_FILE
