#include "meta_learner/objects/s3_store.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <set>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/strip.h>
#include <curl/curl.h>

#include "common/check.h"
#include "common/hash.h"
#include "common/mutex.h"

namespace mentor::meta_learner {
namespace {

using Cancel = ObjectStore::Cancel;

constexpr char kHashHeader[] = "x-amz-meta-sha256";
constexpr uint64_t kListBytesMax = 16 << 20;
constexpr uint64_t kErrorBytesMax = 1 << 20;
constexpr size_t kObjectsListedMax = 1'000'000;
constexpr long kConnectTimeoutMs = 5'000;

struct Request {
  std::string method = "GET";
  std::string key = {};    // With the store's prefix; empty: the bucket itself.
  std::string query = {};  // Names in order and percent-encoded: libcurl signs the query unchanged.
  std::string_view body = {};
  std::vector<std::string> headers = {};
  uint64_t bytes_max = kErrorBytesMax;
  bool conditional = false;  // With If-None-Match.
};

struct Response {
  long http = 0;
  std::string body;
  std::map<std::string, std::string> headers;  // Names in lower case.
};

// Data of libcurl's callbacks while a response arrives.
struct Transfer {
  Response response;
  uint64_t bytes_max = 0;
  bool too_long = false;
  const Cancel* cancel = nullptr;
};

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  if (transfer->response.body.size() + size * count > transfer->bytes_max) {
    transfer->too_long = true;
    return 0;
  }
  transfer->response.body.append(data, size * count);
  return size * count;
}

size_t OnHeader(char* data, size_t size, size_t count, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  const absl::string_view line(data, size * count);
  if (absl::StartsWith(line, "HTTP/")) transfer->response.headers.clear();
  if (const size_t colon = line.find(':'); colon != line.npos) {
    transfer->response.headers[absl::AsciiStrToLower(line.substr(0, colon))] =
        std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  return size * count;
}

int OnProgress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const Cancel* cancel = static_cast<Transfer*>(user)->cancel;
  return cancel != nullptr && *cancel ? 1 : 0;
}

std::string PercentEncoded(const std::string& text) {
  const std::unique_ptr<char, decltype(&curl_free)> encoded(
      curl_easy_escape(nullptr, text.data(), static_cast<int>(text.size())), &curl_free);
  return encoded.get();
}

// Address of the bucket: base is "https://host/bucket" or "https://bucket.host".
struct Place {
  std::string base, bucket, prefix, region, name;
};

absl::Status Wrong(std::string_view flag, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrFormat("%s: %s", flag, why));
}

absl::StatusOr<Place> PlaceOf(const S3Options& options) {
  absl::string_view url = options.url;
  if (!absl::ConsumePrefix(&url, "s3://"))
    return Wrong("--objects", "give s3://BUCKET or s3://BUCKET/PREFIX");
  while (absl::ConsumeSuffix(&url, "/")) {
  }
  const size_t slash = std::min(url.find('/'), url.size());
  Place place{.base = S3EndpointOr(options.endpoint),
              .bucket = std::string(url.substr(0, slash)),
              .prefix = std::string(url.substr(std::min(slash + 1, url.size()))),
              .region = S3RegionOr(options.region),
              .name = "s3://" + std::string(url)};
  // The name must be valid in a host name, and in a URL without encoding.
  if (!IsObjectKey(place.bucket) || place.bucket.find('_') != place.bucket.npos)
    return Wrong("--objects", "the bucket's name has letters, digits, '.' and '-' alone");
  if (!place.prefix.empty()) {
    if (!IsObjectKey(place.prefix))
      return Wrong("--objects", "the prefix has parts of letters, digits, '.', '_' and '-' alone");
    place.prefix += '/';
  }
  const bool own = !place.base.empty();
  if (!own) place.base = absl::StrFormat("https://s3.%s.amazonaws.com", place.region);
  while (absl::EndsWith(place.base, "/")) place.base.pop_back();
  const bool plain = absl::StartsWith(place.base, "http://");
  const size_t scheme = plain ? 7 : 8;
  if ((!plain && !absl::StartsWith(place.base, "https://")) || place.base.size() == scheme ||
      place.base.find_first_of("/?#@ \t\n", scheme) != place.base.npos)
    return Wrong("--objects_endpoint", "give https://HOST or https://HOST:PORT");
  if (plain && !options.allow_plain) {
    return Wrong("--objects_endpoint",
                 "plain http beyond this machine: give https, or say --allow_insecure where the "
                 "network protects itself");
  }
  if (options.addressing == "path" || (options.addressing == "auto" && own)) {
    place.base += "/" + place.bucket;
  } else {
    place.base.insert(scheme, place.bucket + ".");
  }
  return place;
}

class S3Store : public ObjectStore {
 public:
  S3Store(S3Options options, Place place)
      : options_(std::move(options)), place_(std::move(place)) {}
  ~S3Store() override {
    const MutexLock lock(mutex_);
    for (CURL* handle : idle_) curl_easy_cleanup(handle);
  }

  const std::string& name() const override { return place_.name; }

  absl::Status Put(const std::string& key, std::string_view bytes, const Cancel* cancel) override {
    return PutWith(key, bytes, /*conditional=*/false, cancel);
  }
  absl::Status PutIfAbsent(const std::string& key, std::string_view bytes,
                           const Cancel* cancel) override {
    return PutWith(key, bytes, /*conditional=*/true, cancel);
  }

  absl::StatusOr<std::string> Get(const std::string& key, uint64_t bytes_max,
                                  const Cancel* cancel) override {
    const Request request{.key = place_.prefix + key,
                          .bytes_max = std::max(bytes_max, kErrorBytesMax)};
    // Bytes damaged in transit and bytes damaged at rest look alike. So a mismatch with the hash
    // from the upload is not DATA_LOSS.
    const Check check = [&](const Response& response) -> absl::Status {
      const auto hash = response.headers.find(kHashHeader);
      if (hash == response.headers.end() || hash->second == Sha256Hex(response.body))
        return absl::OkStatus();
      return absl::UnavailableError(
          absl::StrFormat("%s/%s does not come as it was put (%d bytes, their SHA-256 is not that "
                          "of its metadata); if that stays so, remove the object: what it held is "
                          "computed again",
                          place_.name, key, response.body.size()));
    };
    MENTOR_ASSIGN_OR_RETURN(Response response, Send("get", request, cancel, check));
    if (response.body.size() > bytes_max) {
      return absl::DataLossError(absl::StrFormat("%s/%s has %d bytes, more than %d", place_.name,
                                                 key, response.body.size(), bytes_max));
    }
    return std::move(response.body);
  }

  absl::StatusOr<std::vector<ObjectInfo>> List(const std::string& prefix,
                                               const Cancel* cancel) override {
    std::vector<ObjectInfo> objects;
    const auto add = [&](const S3ListPage& page, int64_t now_s) {
      for (const S3ListPage::Item& item : page.items) {
        if (!absl::StartsWith(item.key, place_.prefix)) continue;
        objects.push_back({.key = item.key.substr(place_.prefix.size()),
                           .size_bytes = item.size_bytes,
                           .age_s = std::max<int64_t>(0, now_s - item.modified_s)});
      }
      return objects.size();
    };
    MENTOR_RETURN_IF_ERROR(Pages(prefix, "", cancel, add));
    std::sort(objects.begin(), objects.end(),
              [](const ObjectInfo& a, const ObjectInfo& b) { return a.key < b.key; });
    return objects;
  }

  absl::StatusOr<std::vector<std::string>> ListFolders(const std::string& prefix,
                                                       const Cancel* cancel) override {
    std::set<std::string> names;
    const std::string whole = place_.prefix + prefix;
    const auto add = [&](const S3ListPage& page, int64_t) {
      for (absl::string_view folder : page.folders) {
        if (absl::ConsumePrefix(&folder, whole) && absl::ConsumeSuffix(&folder, "/"))
          names.insert(std::string(folder));
      }
      return names.size();
    };
    MENTOR_RETURN_IF_ERROR(Pages(prefix, "/", cancel, add));
    return std::vector<std::string>(names.begin(), names.end());
  }

  absl::Status Delete(const std::string& key, const Cancel* cancel) override {
    const absl::Status status =
        Send("delete", {.method = "DELETE", .key = place_.prefix + key}, cancel).status();
    return absl::IsNotFound(status) ? absl::OkStatus() : status;
  }

 private:
  absl::Status PutWith(const std::string& key, std::string_view bytes, bool conditional,
                       const Cancel* cancel) {
    MENTOR_CHECK(IsObjectKey(key));
    std::vector<std::string> headers = {"Content-Type: application/octet-stream",
                                        absl::StrCat(kHashHeader, ": ", Sha256Hex(bytes))};
    if (conditional) headers.push_back("If-None-Match: *");
    return Send("put",
                {.method = "PUT",
                 .key = place_.prefix + key,
                 .body = bytes,
                 .headers = std::move(headers),
                 .conditional = conditional},
                cancel)
        .status();
  }

  // Calls `add` with each page of a list and the service's time; `add` returns the number of items
  // so far.
  template <typename Add>
  absl::Status Pages(const std::string& prefix, const std::string& delimiter, const Cancel* cancel,
                     const Add& add) {
    std::string token;
    while (true) {
      std::string query;
      if (!token.empty())
        absl::StrAppend(&query, "continuation-token=", PercentEncoded(token), "&");
      if (!delimiter.empty()) absl::StrAppend(&query, "delimiter=", PercentEncoded(delimiter), "&");
      absl::StrAppend(&query, "list-type=2&prefix=", PercentEncoded(place_.prefix + prefix));
      S3ListPage page;
      const Check check = [&](const Response& answer) -> absl::Status {
        MENTOR_ASSIGN_OR_RETURN(page, ParseS3List(answer.body));
        return absl::OkStatus();
      };
      MENTOR_ASSIGN_OR_RETURN(
          const Response response,
          Send("list", {.query = query, .bytes_max = kListBytesMax}, cancel, check));
      const auto date = response.headers.find("date");
      const int64_t now_s =
          date == response.headers.end() ? 0 : curl_getdate(date->second.c_str(), nullptr);
      if (add(page, now_s) > kObjectsListedMax || (!page.next.empty() && page.next == token))
        return absl::FailedPreconditionError(place_.name + ": the list of objects has no end");
      if (page.next.empty()) return absl::OkStatus();
      token = page.next;
    }
  }

  // Sends a request, with retries. Returns an error for unsuccessful responses and for those that
  // `check` refuses.
  using Check = std::function<absl::Status(const Response&)>;
  absl::StatusOr<Response> Send(const std::string& operation, const Request& request,
                                const Cancel* cancel, const Check& check = {}) {
    const std::string doing =
        absl::StrCat(request.method, " s3://", place_.bucket, "/", request.key);
    auto wait = options_.first_wait;
    for (int attempt = 1;; ++attempt) {
      absl::StatusOr<Response> response = Once(doing, request, cancel);
      if (response.ok() && (response->http < 200 || response->http >= 300))
        response = S3Error(doing, response->http, response->body);
      // Without a condition, a failed precondition makes no sense.
      if (absl::IsAlreadyExists(response.status()) && !request.conditional)
        response = absl::UnavailableError(response.status().message());
      if (response.ok() && check) {
        if (absl::Status checked = check(*response); !checked.ok()) response = std::move(checked);
      }
      Count(operation, response.status());
      if (!absl::IsUnavailable(response.status()) || attempt >= options_.tries) return response;
      // Jitter, so that not all threads retry at the same time.
      const auto now_us = std::chrono::duration_cast<std::chrono::microseconds>(
          std::chrono::steady_clock::now().time_since_epoch());
      StopRequestedWithin(std::stop_token(), wait / 2 + wait * (now_us.count() % 100) / 100);
      wait *= 2;
      if (cancel != nullptr && *cancel) return absl::CancelledError("interrupted");
    }
  }

  void Count(const std::string& operation, const absl::Status& status) {
    if (options_.metrics == nullptr) return;
    const ObjectMetrics::Operation& counted = options_.metrics->operations.at(operation);
    counted.requests->Increment();
    // NOT_FOUND and ALREADY_EXISTS are valid answers.
    if (!status.ok() && !absl::IsNotFound(status) && !absl::IsAlreadyExists(status))
      counted.failures->Increment();
  }

  absl::StatusOr<Response> Once(const std::string& doing, const Request& request,
                                const Cancel* cancel) {
    MENTOR_ASSIGN_OR_RETURN(const S3Credentials credentials, FindS3Credentials());
    CURL* curl = TakeHandle();
    if (curl == nullptr) return absl::UnavailableError("libcurl has no room for a connection");
    Transfer transfer{.response = {}, .bytes_max = request.bytes_max, .cancel = cancel};
    const std::string url = absl::StrCat(place_.base, "/", request.key,
                                         request.query.empty() ? "" : "?", request.query);
    const std::string sigv4 = absl::StrFormat("aws:amz:%s:s3", place_.region);
    curl_slist* headers = nullptr;
    const auto add = [&](const std::string& line) {
      headers = curl_slist_append(headers, line.c_str());
    };
    add("x-amz-content-sha256: " + Sha256Hex(request.body));
    if (!credentials.session_token.empty())
      add("x-amz-security-token: " + credentials.session_token.Reveal());
    for (const std::string& line : request.headers) add(line);
    SetUp(curl, &transfer);
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, sigv4.c_str());
    curl_easy_setopt(curl, CURLOPT_USERNAME, credentials.key_id.c_str());
    curl_easy_setopt(curl, CURLOPT_PASSWORD, credentials.secret.Reveal().c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (request.method == "PUT") {
      // Passed as form fields, since libcurl neither reads twice nor copies these.
      curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(request.body.size()));
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.empty() ? "" : request.body.data());
    }
    if (request.method != "GET")
      curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    char why[CURL_ERROR_SIZE] = "";
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    const CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &transfer.response.http);
    curl_slist_free_all(headers);
    GiveHandle(curl);
    if (code == CURLE_OK) return std::move(transfer.response);
    if (code == CURLE_ABORTED_BY_CALLBACK) return absl::CancelledError("interrupted");
    if (transfer.too_long)
      return absl::UnavailableError(doing + ": the answer is longer than what was put");
    return absl::UnavailableError(
        absl::StrFormat("%s: %s%s%s", doing, curl_easy_strerror(code), why[0] ? ": " : "", why));
  }

  // Sets the options that all requests share.
  void SetUp(CURL* curl, Transfer* transfer) {
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (options_.without_proxy) curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.stall.count()));
    if (const char* bundle = std::getenv("AWS_CA_BUNDLE"); bundle != nullptr && *bundle != '\0')
      curl_easy_setopt(curl, CURLOPT_CAINFO, bundle);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, OnBody);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, OnHeader);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, OnProgress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
  }

  // Takes an idle handle or makes one. Handles keep their connections.
  CURL* TakeHandle() {
    const MutexLock lock(mutex_);
    if (idle_.empty()) return curl_easy_init();
    CURL* handle = idle_.back();
    idle_.pop_back();
    return handle;
  }
  void GiveHandle(CURL* handle) {
    curl_easy_reset(handle);
    const MutexLock lock(mutex_);
    idle_.push_back(handle);
  }

  const S3Options options_;
  const Place place_;
  // Idle handles; in total at most one per concurrent request.
  Mutex mutex_;
  std::vector<CURL*> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

ObjectMetrics::ObjectMetrics(Metrics* metrics) {
  for (const char* operation : {"put", "get", "list", "delete"}) {
    operations[operation] = {
        &metrics->Counter("mentor_objects_requests_total",
                          "Requests to the object store, repetitions included.",
                          {{"operation", operation}}),
        &metrics->Counter("mentor_objects_failures_total",
                          "Requests to the object store that it did not answer, or refused.",
                          {{"operation", operation}})};
  }
}

std::string S3EndpointOr(const std::string& endpoint) {
  if (!endpoint.empty()) return endpoint;
  for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  }
  return "";
}

absl::StatusOr<std::unique_ptr<ObjectStore>> MakeS3Store(const S3Options& options) {
  MENTOR_ASSIGN_OR_RETURN(Place place, PlaceOf(options));
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  return std::make_unique<S3Store>(options, std::move(place));
}

}  // namespace mentor::meta_learner
