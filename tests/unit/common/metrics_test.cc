#include "common/metrics.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/testing.h"

namespace mentor::TEST_FILE {

// A plain GET, as a scrape does it.
std::string Get(int port, const std::string& path) {
  const int s = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(connect(s, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  const std::string request =
      "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  REQUIRE(send(s, request.data(), request.size(), 0) == static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t got; (got = recv(s, buffer, sizeof(buffer), 0)) > 0;)
    answer.append(buffer, static_cast<size_t>(got));
  close(s);
  return answer;
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("metrics: the page shows ours and the standard ones", "[unit]") {
  const auto metrics = Metrics::Create({.build_info = {{"version", "1.2.3"}}});
  metrics->Counter("mentor_test_things_total", "Things.", {{"kind", "a"}}).Increment(3);
  metrics->Histogram("mentor_test_seconds", "Times.", UnitBuckets()).Observe(0.015);
  REQUIRE(metrics->Expose("127.0.0.1:0").ok());
  REQUIRE(metrics->port() > 0);
  const std::string page = Get(metrics->port(), "/metrics");
  INFO(page);
  CHECK(Has(page, "200 OK"));
  CHECK(Has(page, "mentor_build_info{version=\"1.2.3\"} 1"));
  CHECK(Has(page, "mentor_test_things_total{kind=\"a\"} 3"));
  CHECK(Has(page, "mentor_test_seconds_bucket{le=\"0.02\"} 1"));
  for (const char* name :
       {"process_cpu_seconds_total", "process_start_time_seconds", "process_resident_memory_bytes",
        "process_virtual_memory_bytes", "process_open_fds", "process_max_fds"}) {
    INFO(name);
    const size_t at = page.find("\n" + std::string(name) + " ");
    REQUIRE(at != std::string::npos);
    // The start is a time of the calendar, rather than one since the machine's start.
    const double least = name == std::string_view("process_start_time_seconds") ? 1e9 : 0;
    CHECK(std::atof(page.c_str() + at + std::string(name).size() + 2) > least);
  }
  CHECK(Has(page, "mentor_log_messages_total{severity=\"error\"}"));
  CHECK(Has(metrics->Text(), "mentor_test_things_total{kind=\"a\"} 3"));
}

TEST_CASE("metrics: an address that is taken is an error, not an exception", "[unit]") {
  const auto first = Metrics::Create(), second = Metrics::Create();
  REQUIRE(first->Expose("127.0.0.1:0").ok());
  const absl::Status status = second->Expose("127.0.0.1:" + std::to_string(first->port()));
  CHECK(status.code() == absl::StatusCode::kUnavailable);
  CHECK(Has(std::string(status.message()), "cannot serve metrics on '127.0.0.1:"));
  CHECK_FALSE(second->Expose("nonsense").ok());
  CHECK(second->Expose("127.0.0.1:0").ok());
}

TEST_CASE("metrics: the same name and labels are the same metric; gauges can go", "[unit]") {
  const auto metrics = Metrics::Create();
  CHECK(&metrics->Counter("mentor_x_total", "X.") == &metrics->Counter("mentor_x_total", "X."));
  auto& gauge = metrics->Gauge("mentor_return", "R.", {{"experiment", "a"}});
  metrics->Gauge("mentor_return", "R.", {{"experiment", "b"}}).Set(2);
  CHECK(Has(metrics->Text(), "mentor_return{experiment=\"a\"} 0"));
  metrics->RemoveGauge("mentor_return", &gauge);
  CHECK_FALSE(Has(metrics->Text(), "mentor_return{experiment=\"a\"}"));
  CHECK(Has(metrics->Text(), "mentor_return{experiment=\"b\"} 2"));
}

}  // namespace mentor::TEST_FILE
