#include "common/metrics.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/log.h"

namespace mentor {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// Adds a family: one value, or one for each value of `label`.
void Add(std::vector<MetricFamily>* families, const char* name, const char* help, MetricType type,
         const std::vector<std::pair<std::string, double>>& values, const char* label = nullptr) {
  MetricFamily& family = families->emplace_back();
  family.name = name;
  family.help = help;
  family.type = type;
  for (const auto& [text, value] : values) {
    ClientMetric& metric = family.metric.emplace_back();
    if (label != nullptr) metric.label.push_back({label, text});
    (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  }
}

// Standard values of a process, and the counts of log and failpoints, read at each scrape.
class ProcessCollector : public prometheus::Collectable {
 public:
  std::vector<MetricFamily> Collect() const override {
    std::vector<MetricFamily> families;
    const auto gauge = [&](const char* name, const char* help, double value) {
      Add(&families, name, help, MetricType::Gauge, {{"", value}});
    };
    const double page = static_cast<double>(sysconf(_SC_PAGESIZE)),
                 ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    // Fields after the command's closing parenthesis: 1 state, 20 starttime, 21 vsize, 22 rss.
    std::ifstream stat_file("/proc/self/stat");
    std::stringstream stat_text;
    stat_text << stat_file.rdbuf();
    const std::string stat = stat_text.str();
    std::istringstream fields(stat.substr(std::min(stat.rfind(')') + 2, stat.size())));
    std::vector<std::string> field(1);  // Indexed from 1.
    for (std::string word; fields >> word;) field.push_back(word);
    if (field.size() > 22) {
      const auto number = [&](int i) { return std::strtod(field[i].c_str(), nullptr); };
      gauge("process_start_time_seconds", "Start, in seconds since the epoch.",
            BootTime() + number(20) / ticks);
      gauge("process_virtual_memory_bytes", "Virtual memory.", number(21));
      gauge("process_resident_memory_bytes", "Resident memory.", number(22) * page);
    }
    timespec cpu{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    Add(&families, "process_cpu_seconds_total", "User and system CPU time.", MetricType::Counter,
        {{"", static_cast<double>(cpu.tv_sec) + 1e-9 * static_cast<double>(cpu.tv_nsec)}});
    std::error_code error;
    double open_fds = 0;
    for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end;
         !error && entry != end; entry.increment(error)) {
      ++open_fds;
    }
    gauge("process_open_fds", "Open file descriptors.", open_fds);
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    gauge("process_max_fds", "Limit of open file descriptors.",
          static_cast<double>(limit.rlim_cur));
    std::vector<std::pair<std::string, double>> lines, hits;
    for (size_t i = 0; const uint64_t count : log::Counts()) {
      static constexpr const char* kNames[] = {"debug", "info", "warning", "error"};
      lines.emplace_back(kNames[i++], static_cast<double>(count));
    }
    Add(&families, "mentor_log_messages_total", "Log lines by severity.", MetricType::Counter,
        lines, "severity");
    for (const auto& [name, count] : failpoint::Hits())
      hits.emplace_back(name, static_cast<double>(count));
    if (!hits.empty()) {
      Add(&families, "mentor_failpoint_hits_total", "Hits of armed failpoints.",
          MetricType::Counter, hits, "name");
    }
    return families;
  }

 private:
  static double BootTime() {
    std::ifstream file("/proc/stat");
    for (std::string word; file >> word;) {
      double seconds = 0;
      if (word == "btime" && file >> seconds) return seconds;
    }
    return 0;
  }
};

std::vector<double> Doubling(double first, int count) {
  std::vector<double> bounds;
  for (int i = 0; i < count; ++i, first *= 2) bounds.push_back(first);
  return bounds;
}

// prometheus-cpp throws on a bad name, a bad label or a second type under one name. All are bugs.
template <typename Function>
auto& Checked(const std::string& name, Function function) {
  try {
    return function();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "metric %s: %s\n", name.c_str(), error.what());
    std::abort();
  }
}

}  // namespace

std::vector<double> RpcBuckets() {
  return {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
}
std::vector<double> UnitBuckets() {
  return Doubling(.01, 14);
}
std::vector<double> WriteBuckets() {
  return Doubling(.05, 12);
}
std::vector<double> QueueBuckets() {
  return {1, 5, 15, 60, 300, 900, 3600, 14400};
}

Metrics::Metrics()
    : registry_(std::make_shared<prometheus::Registry>()),
      process_(std::make_shared<ProcessCollector>()) {}

std::unique_ptr<Metrics> Metrics::Create(const Options& options) {
  std::unique_ptr<Metrics> metrics(new Metrics);
  metrics->Gauge("mentor_build_info", "1, with the versions as labels.", options.build_info).Set(1);
  return metrics;
}

prometheus::Counter& Metrics::Counter(const std::string& name, const std::string& help,
                                      const Labels& labels) {
  return Checked(name, [&]() -> prometheus::Counter& {
    return prometheus::BuildCounter().Name(name).Help(help).Register(*registry_).Add(labels);
  });
}

prometheus::Gauge& Metrics::Gauge(const std::string& name, const std::string& help,
                                  const Labels& labels) {
  return Checked(name, [&]() -> prometheus::Gauge& {
    auto& family = prometheus::BuildGauge().Name(name).Help(help).Register(*registry_);
    MutexLock lock(mutex_);
    gauges_[name] = &family;
    return family.Add(labels);
  });
}

void Metrics::RemoveGauge(const std::string& name, prometheus::Gauge* gauge) {
  MutexLock lock(mutex_);
  const auto family = gauges_.find(name);
  MENTOR_CHECK(family != gauges_.end());
  family->second->Remove(gauge);
}

prometheus::Histogram& Metrics::Histogram(const std::string& name, const std::string& help,
                                          const std::vector<double>& buckets,
                                          const Labels& labels) {
  return Checked(name, [&]() -> prometheus::Histogram& {
    return prometheus::BuildHistogram()
        .Name(name)
        .Help(help)
        .Register(*registry_)
        .Add(labels, buckets);
  });
}

absl::Status Metrics::Expose(const std::string& address) {
  try {
    // The request timeout frees a thread from a peer that sends nothing or sends slowly.
    exposer_ = std::make_unique<prometheus::Exposer>(std::vector<std::string>{
        "listening_ports", address, "num_threads", "4", "request_timeout_ms", "2000"});
    exposer_->RegisterCollectable(registry_);
    exposer_->RegisterCollectable(process_);
    port_ = exposer_->GetListeningPorts().at(0);
  } catch (const std::exception& error) {
    exposer_.reset();
    return absl::UnavailableError("cannot serve metrics on '" + address + "': " + error.what() +
                                  "; choose another address, for example 127.0.0.1:0");
  }
  return absl::OkStatus();
}

std::string Metrics::Text() const {
  std::vector<MetricFamily> families = registry_->Collect();
  for (MetricFamily& family : process_->Collect()) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace mentor
