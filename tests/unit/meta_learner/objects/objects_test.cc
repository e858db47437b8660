// Object storage: the meaning of S3's answers, the client's reaction to bad ones, a real service,
// and that a torn upload is never seen.
#include "tests/objects.h"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <fcntl.h>

#include "common/child_process.h"
#include "common/failpoint.h"
#include "common/file.h"
#include "common/hash.h"
#include "meta_learner/objects/s3_store.h"
#include "meta_learner/store/experiment_objects.h"
#include "tests/paths.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

using testing::HttpAnswer;
using testing::MemoryObjects;
using testing::ScriptedServer;

std::string ErrorXml(const std::string& code) {
  return "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>m</Message></Error>";
}

std::unique_ptr<ObjectStore> StoreAt(const std::string& endpoint, int tries = 3) {
  setenv("http_proxy", "http://127.0.0.1:1", 1);  // Where nothing listens.
  setenv("AWS_ACCESS_KEY_ID", "key", 0);
  setenv("AWS_SECRET_ACCESS_KEY", "secret\n", 0);
  return MakeS3Store({.url = "s3://bucket/a",
                      .endpoint = endpoint,
                      .allow_plain = true,
                      .without_proxy = true,
                      .stall = std::chrono::seconds(1),
                      .tries = tries,
                      .first_wait = std::chrono::milliseconds(1)})
      .value();
}

absl::StatusCode GetCode(const ScriptedServer& server, int tries = 3) {
  return StoreAt(server.endpoint(), tries)->Get("k", 100, nullptr).status().code();
}

TEST_CASE("objects: keys and prefixes are plain", "[unit]") {
  for (const char* key : {"a", "a/b_c-1.txt", "00000042"}) CHECK(IsObjectKey(key));
  for (const char* key : {"", "/a", "a/", "a//b", ".", "a/../b", "a b", "a=b", "\xc3\xa4"})
    CHECK_FALSE(IsObjectKey(key));
  CHECK(IsObjectKey(std::string(900, 'k')));
  CHECK_FALSE(IsObjectKey(std::string(901, 'k')));
  for (const char* url : {"", "bucket", "s3://", "s3://b_b", "s3://b/a b", "s3://b/../a"})
    CHECK(absl::IsInvalidArgument(MakeS3Store({.url = url}).status()));
  CHECK(absl::IsInvalidArgument(
      MakeS3Store({.url = "s3://b", .endpoint = "http://192.0.2.1"}).status()));
  CHECK(absl::IsInvalidArgument(
      MakeS3Store({.url = "s3://b", .endpoint = "https://user@host"}).status()));
  CHECK(MakeS3Store({.url = "s3://b/a/"}).value()->name() == "s3://b/a");
}

TEST_CASE("objects: credentials are those of a section", "[unit]") {
  const std::string file =
      "# c\n[other]\naws_access_key_id=x\n[default]\naws_access_key_id = k\n"
      "aws_secret_access_key = s=1\naws_session_token = t\n";
  const auto found = ParseS3Credentials(file, "default");
  REQUIRE(found.ok());
  CHECK(found->key_id == "k");
  CHECK(found->secret.Reveal() == "s=1");
  CHECK(found->session_token.Reveal() == "t");
  CHECK(absl::IsPermissionDenied(ParseS3Credentials(file, "other").status()));
  CHECK(absl::IsPermissionDenied(ParseS3Credentials("[default", "default").status()));
}

TEST_CASE("objects: a list is a list, whole or with a token", "[unit]") {
  const auto page = ParseS3List(
      "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>n</"
      "NextContinuationToken><Contents><Key>a/b&amp;c</Key><Size>7</Size><LastModified>2026-11-21T"
      "15:05:42.000Z</LastModified></Contents><CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>"
      "</ListBucketResult>");
  REQUIRE(page.ok());
  CHECK(page->next == "n");
  REQUIRE(page->items.size() == 1);
  CHECK(page->items[0].key == "a/b&c");
  CHECK(page->items[0].size_bytes == 7);
  CHECK(page->items[0].modified_s == 1'795'273'542);
  CHECK(page->folders == std::vector<std::string>{"a/"});
  for (const char* other :
       {"", "<html>", "<html></html>", "<ListBucketResult/>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><IsTruncated>false</IsTruncated><Contents/></ListBucketResult>"})
    CHECK(absl::IsUnavailable(ParseS3List(other).status()));
}

TEST_CASE("objects: only the store's own word makes an object lost", "[unit]") {
  CHECK(absl::IsNotFound(S3Error("GET", 404, ErrorXml("NoSuchKey"))));
  CHECK(absl::IsUnavailable(S3Error("GET", 404, "<html>not found</html>")));
  CHECK(absl::IsFailedPrecondition(S3Error("GET", 404, ErrorXml("NoSuchBucket"))));
  CHECK(absl::IsPermissionDenied(S3Error("GET", 403, ErrorXml("SignatureDoesNotMatch"))));
  CHECK(absl::IsAlreadyExists(S3Error("PUT", 412, ErrorXml("PreconditionFailed"))));
  CHECK(absl::IsUnavailable(S3Error("PUT", 409, ErrorXml("ConditionalRequestConflict"))));
  CHECK(absl::IsUnavailable(S3Error("PUT", 503, ErrorXml("SlowDown"))));
  CHECK(absl::IsUnavailable(S3Error("PUT", 400, ErrorXml("RequestTimeout"))));
  const auto moved = S3Error("GET", 301, ErrorXml("PermanentRedirect"));
  CHECK(absl::IsFailedPrecondition(moved));
  CHECK(absl::StrContains(moved.message(), "--objects_region"));
}

TEST_CASE("objects: an answer without S3's word means what HTTP says", "[unit]") {
  for (const long http : {408, 409, 429, 500, 599})
    CHECK(absl::IsUnavailable(S3Error("PUT", http, "")));
  for (const long http : {301, 400, 407, 410, 428, 499})
    CHECK(absl::IsFailedPrecondition(S3Error("PUT", http, "")));
  for (const long http : {401, 403}) CHECK(absl::IsPermissionDenied(S3Error("PUT", http, "")));
  for (const char* token : {"InvalidToken", "ExpiredToken"})
    CHECK(absl::IsPermissionDenied(S3Error("PUT", 400, ErrorXml(token))));
  CHECK(S3Error("PUT a", 499, "").message() == "PUT a: 499 without a code of S3");
  CHECK(S3Error("PUT a", 499, ErrorXml("Odd")).message() == "PUT a: 499 Odd: m");
  // No more of a foreign text than fits into a line.
  CHECK(S3Error("PUT a", 499, ErrorXml(std::string(101, 'c'))).message() ==
        "PUT a: 499 " + std::string(100, 'c') + ": m");
}

TEST_CASE("objects: errors that may pass are tried again, others are not", "[unit]") {
  {
    ScriptedServer server({HttpAnswer("500 Error", ""),
                           HttpAnswer("503 Slow", ErrorXml("SlowDown")),
                           HttpAnswer("200 OK", "bytes")});
    const auto got = StoreAt(server.endpoint())->Get("k", 100, nullptr);
    REQUIRE(got.ok());
    CHECK(*got == "bytes");
    CHECK(server.requests() == 3);
  }
  {
    ScriptedServer server({HttpAnswer("500 Error", "")});
    CHECK(GetCode(server) == absl::StatusCode::kUnavailable);
    CHECK(server.requests() == 3);
  }
  {
    ScriptedServer server({HttpAnswer("403 No", ErrorXml("AccessDenied"))});
    CHECK(GetCode(server) == absl::StatusCode::kPermissionDenied);
    CHECK(server.requests() == 1);
  }
}

TEST_CASE("objects: a cut answer, a silent service and other bytes are no answer", "[unit]") {
  {
    ScriptedServer server({"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbyt", "HTTP/1.1 200 ",
                           HttpAnswer("200 OK", "bytes")});
    CHECK(StoreAt(server.endpoint())->Get("k", 100, nullptr).value() == "bytes");
    CHECK(server.requests() == 3);
  }
  {
    ScriptedServer server({""});
    CHECK(GetCode(server, /*tries=*/1) == absl::StatusCode::kUnavailable);
  }
  {
    ScriptedServer server({HttpAnswer("200 OK", std::string(101, 'x'))});
    CHECK(GetCode(server) == absl::StatusCode::kDataLoss);
  }
  {
    ScriptedServer server({HttpAnswer("200 OK", "<html>log in</html>")});
    CHECK(absl::IsUnavailable(StoreAt(server.endpoint())->List("", nullptr).status()));
  }
  {
    const auto page = [](const std::string& key, const std::string& cut) {
      return HttpAnswer("200 OK",
                        "<ListBucketResult><IsTruncated>" + cut + "</IsTruncated>" +
                            "<NextContinuationToken>t/=</NextContinuationToken><Contents><Key>a/" +
                            key + "</Key><Size>1</Size><LastModified>2026-11-21T15:05:42Z" +
                            "</LastModified></Contents></ListBucketResult>");
    };
    ScriptedServer server({page("2", "true"), page("1", "false")});
    const auto listed = StoreAt(server.endpoint())->List("", nullptr);
    REQUIRE(listed.ok());
    REQUIRE(listed->size() == 2);
    CHECK((*listed)[0].key == "1");
    // A list without an end.
    ScriptedServer endless({page("2", "true")});
    CHECK_FALSE(StoreAt(endless.endpoint())->List("", nullptr).ok());
  }
  CHECK(absl::IsUnavailable(StoreAt("http://127.0.0.1:1")->Get("k", 100, nullptr).status()));
}

TEST_CASE("objects: bytes that are not what was put are read again, and waited for", "[unit]") {
  const std::string put = "x-amz-meta-sha256: " + Sha256Hex("bytes") + "\r\n";
  {
    ScriptedServer server({HttpAnswer("200 OK", "bytfs", put), HttpAnswer("200 OK", "by", put),
                           HttpAnswer("200 OK", "bytes", put)});
    CHECK(StoreAt(server.endpoint())->Get("k", 5, nullptr).value() == "bytes");
    CHECK(server.requests() == 3);
  }
  {
    ScriptedServer server({HttpAnswer("200 OK", "other and longer", put)});
    const absl::Status got = StoreAt(server.endpoint())->Get("k", 5, nullptr).status();
    CHECK(absl::IsUnavailable(got));
    CHECK(absl::StrContains(got.message(), "s3://bucket/a/k does not come as it was put"));
    CHECK(server.requests() == 3);
  }
  {
    // More than is kept.
    ScriptedServer server({HttpAnswer("200 OK", std::string(2 << 20, 'x'), put)});
    CHECK(GetCode(server) == absl::StatusCode::kUnavailable);
  }
}

TEST_CASE("objects: a condition that nobody set was not missed", "[unit]") {
  const std::string missed = HttpAnswer("412 Failed", ErrorXml("PreconditionFailed"));
  {
    ScriptedServer server({missed, HttpAnswer("200 OK", "")});
    CHECK(StoreAt(server.endpoint())->Put("k", "bytes", nullptr).ok());
    CHECK(server.requests() == 2);
  }
  {
    ScriptedServer server({missed});
    CHECK(absl::IsUnavailable(StoreAt(server.endpoint())->Put("k", "bytes", nullptr)));
    CHECK(absl::IsAlreadyExists(StoreAt(server.endpoint())->PutIfAbsent("k", "bytes", nullptr)));
  }
}

TEST_CASE("objects: who is told to stop does not wait for a silent service", "[unit]") {
  ScriptedServer server({""});
  const std::atomic<bool> cancel = true;
  CHECK(absl::IsCancelled(StoreAt(server.endpoint())->Get("k", 100, &cancel).status()));
}

TEST_CASE("objects: a service that ignores conditions is refused", "[unit]") {
  ScriptedServer server({HttpAnswer("200 OK", ""), HttpAnswer("200 OK", "mentor-objects 1\n"),
                         HttpAnswer("200 OK", "")});
  const auto store = StoreAt(server.endpoint());
  const absl::Status checked = CheckObjectStore(store.get());
  CHECK(absl::IsFailedPrecondition(checked));
  CHECK(absl::StrContains(checked.message(), "conditional write"));
}

// The rules of every object store.
void CheckConformance(ObjectStore* store) {
  REQUIRE(CheckObjectStore(store).ok());
  REQUIRE(CheckObjectStore(store).ok());
  CHECK(absl::IsNotFound(store->Get("x/none", 10, nullptr).status()));
  REQUIRE(store->Put("x/a", "one", nullptr).ok());
  REQUIRE(store->Put("x/a", std::string("t\0o", 3), nullptr).ok());
  CHECK(store->Get("x/a", 3, nullptr).value() == std::string("t\0o", 3));
  CHECK(absl::IsDataLoss(store->Get("x/a", 2, nullptr).status()));
  CHECK(absl::IsAlreadyExists(store->PutIfAbsent("x/a", "three", nullptr)));
  REQUIRE(store->PutIfAbsent("x/empty", "", nullptr).ok());
  CHECK(store->Get("x/empty", 0, nullptr).value().empty());
  // Larger than the part that is sent before the service answers "continue".
  const std::string large(3 << 20, 'l');
  REQUIRE(store->Put("y/b.c/large", large, nullptr).ok());
  CHECK(store->Get("y/b.c/large", large.size(), nullptr).value() == large);
  const auto listed = store->List("x/", nullptr);
  INFO(listed.status());
  REQUIRE(listed.ok());
  REQUIRE(listed->size() == 2);
  CHECK((*listed)[0].key == "x/a");
  CHECK((*listed)[0].size_bytes == 3);
  CHECK((*listed)[0].age_s < 600);
  CHECK(store->ListFolders("y/", nullptr).value() == std::vector<std::string>{"b.c"});
  REQUIRE(store->Delete("x/a", nullptr).ok());
  REQUIRE(store->Delete("x/a", nullptr).ok());
  CHECK(store->List("x/", nullptr)->size() == 1);
}

TEST_CASE("objects: the store in memory is a store", "[unit]") {
  MemoryObjects objects;
  CheckConformance(&objects);
}

TEST_CASE("objects: the client of S3 is a store, with a service that checks signatures", "[unit]") {
  int input[2], output[2];
  REQUIRE(pipe2(input, O_CLOEXEC) == 0);
  REQUIRE(pipe2(output, O_CLOEXEC) == 0);
  const auto server = ChildProcess::Start(
      {.command = {"python3", testing::SourcePath("tests/s3_server.py"), "bucket"},
       .input = input[0],
       .output = output[1]});
  REQUIRE(server.ok());
  close(input[0]);
  close(output[1]);
  // The service sends its log of requests in the same way.
  const std::string marker = "listening on ";
  std::string said;
  size_t begin = said.npos;
  while (begin == said.npos || said.find('\n', begin) == said.npos) {
    char bytes[1000];
    const ssize_t got = read(output[0], bytes, sizeof(bytes));
    if (got <= 0) break;
    said.append(bytes, static_cast<size_t>(got));
    begin = said.find(marker);
  }
  if (begin == said.npos) {
    WARN("skipped: no S3 service here: deploy/install.sh --objects");
  } else {
    std::istringstream words(said.substr(begin + marker.size()));
    std::string port, key, secret;
    words >> port >> key >> secret;
    setenv("AWS_ACCESS_KEY_ID", key.c_str(), 1);
    setenv("AWS_SECRET_ACCESS_KEY", secret.c_str(), 1);
    const auto store = StoreAt("http://127.0.0.1:" + port);
    CheckConformance(store.get());
    setenv("AWS_SECRET_ACCESS_KEY", "wrong", 1);
    CHECK(absl::IsPermissionDenied(store->Get("x/a", 3, nullptr).status()));
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
  }
  close(input[1]);
  close(output[0]);
}

// ---- One experiment's objects.

constexpr char kUid[] = "0190c42e-0000-7000-8000-000000000001";

struct Uploaded {
  CheckpointInfo Write(uint32_t step, const std::string& state, const std::string& build = "b") {
    return WriteCheckpoint(folder.path() / build, {.experiment_uid = kUid,
                                                   .outer_step = step,
                                                   .spec_hash = "s",
                                                   .build = build,
                                                   .sections = {{"x", state}}})
        .value();
  }
  std::vector<uint32_t> Steps() {
    ExperimentObjects look(&store, kUid, nullptr);
    REQUIRE(look.Look().ok());
    return look.Steps();
  }

  testing::TempFolder folder;
  MemoryObjects store;
  ExperimentObjects objects{&store, kUid, nullptr};
};

TEST_CASE("objects: a checkpoint goes there and comes back", "[unit]") {
  Uploaded up;
  const CheckpointInfo info = up.Write(3, "state");
  REQUIRE(up.objects.PutCheckpoint(info).ok());
  CHECK(up.Steps() == std::vector<uint32_t>{3});
  const auto back = up.objects.FetchCheckpoint(3, up.folder.path() / "other");
  REQUIRE(back.ok());
  CHECK(*ReadFile(back->path, 1 << 20) == *ReadFile(info.path, 1 << 20));
  CHECK(back->state_hash == info.state_hash);
  // Putting it twice is the same as once. The same state by another build is accepted, another
  // state is not.
  CHECK(up.objects.PutCheckpoint(info).ok());
  const auto other_build = up.objects.PutCheckpoint(up.Write(3, "state", "c"));
  REQUIRE(other_build.ok());
  CHECK(other_build->sha256 == info.sha256);
  CHECK(absl::IsDataLoss(up.objects.PutCheckpoint(up.Write(3, "stale", "d")).status()));
}

// Lists objects that do not exist yet.
class HastyObjects : public MemoryObjects {
 public:
  absl::Status PutIfAbsent(const std::string& key, std::string_view, const Cancel*) override {
    return absl::AlreadyExistsError(key);
  }
};

TEST_CASE("objects: a manifest that is not there, or is damaged, fails no upload for good",
          "[unit]") {
  Uploaded up;
  const CheckpointInfo info = up.Write(3, "state");
  HastyObjects hasty;
  ExperimentObjects nowhere(&hasty, kUid, nullptr);
  CHECK(absl::IsUnavailable(nowhere.PutCheckpoint(info).status()));
  CHECK(nowhere.Steps().empty());

  REQUIRE(up.objects.PutCheckpoint(info).ok());
  for (auto& [key, bytes] : up.store.objects) {
    if (absl::StrContains(key, "/checkpoints/")) bytes = "<html>";
  }
  CHECK(absl::IsUnavailable(up.objects.PutCheckpoint(info).status()));
  REQUIRE(up.objects.PutCheckpoint(info).ok());
  CHECK(up.objects.FetchCheckpoint(3, up.folder.path() / "other").ok());
  // The same state by another build, whose parts are damaged.
  for (auto& [key, bytes] : up.store.objects) {
    if (absl::StrContains(key, "/parts/")) bytes += "x";
  }
  const CheckpointInfo other = up.Write(3, "state", "c");
  CHECK(absl::IsUnavailable(up.objects.PutCheckpoint(other).status()));
  CHECK(up.objects.PutCheckpoint(other).ok());
}

TEST_CASE("objects: a torn upload is not there, and is swept when it is old", "[unit]") {
  Uploaded up;
  REQUIRE(up.objects.PutCheckpoint(up.Write(1, "one")).ok());
  REQUIRE(failpoint::Arm("objects.upload.manifest=1:error(cut)").ok());
  CHECK(absl::IsUnavailable(up.objects.PutCheckpoint(up.Write(2, "two")).status()));
  REQUIRE(failpoint::Arm("").ok());
  CHECK(up.Steps() == std::vector<uint32_t>{1});
  ExperimentObjects later(&up.store, kUid, nullptr);
  REQUIRE(later.Look().ok());
  CHECK(later.Sweep(std::chrono::hours(1)).value() == 0);
  up.store.age_s = 4000;
  REQUIRE(later.Look().ok());
  CHECK(later.Sweep(std::chrono::hours(1)).value() == 1);
  CHECK(later.FetchCheckpoint(1, up.folder.path() / "other").ok());
}

TEST_CASE("objects: what is interrupted leaves nothing that is half there", "[unit]") {
  Uploaded up;
  REQUIRE(up.objects.PutCheckpoint(up.Write(1, "one")).ok());
  REQUIRE(failpoint::Arm("objects.retention.parts=1:error(cut);objects.upload.file=1:error(cut);"
                         "objects.upload.part=1:error(cut)")
              .ok());
  CHECK(absl::IsUnavailable(up.objects.DropCheckpoint(1)));
  CHECK(up.Steps().empty());
  CHECK(absl::IsUnavailable(up.objects.PutCheckpoint(up.Write(2, "two")).status()));
  REQUIRE(WriteFileAtomically(up.folder.path() / "f", "f").ok());
  CHECK(absl::IsUnavailable(up.objects.PutFile("f", up.folder.path())));
  REQUIRE(failpoint::Arm("").ok());
  CHECK(up.store.objects.size() == 1);  // The part of the first one.
  up.store.age_s = 4000;
  REQUIRE(up.objects.Look().ok());
  CHECK(up.objects.Sweep(std::chrono::hours(1)).value() == 1);
  CHECK(up.store.objects.empty());
}

TEST_CASE("objects: what is damaged or lost there is DATA_LOSS and put aside", "[unit]") {
  Uploaded up;
  REQUIRE(up.objects.PutCheckpoint(up.Write(1, "one")).ok());
  const std::string prefix = absl::StrCat("experiments/", kUid, "/");
  for (auto& [key, bytes] : up.store.objects) {
    if (key.starts_with(prefix + "parts/")) bytes[bytes.size() / 2] ^= 1;
  }
  const auto other = up.folder.path() / "other";
  CHECK(absl::IsDataLoss(up.objects.FetchCheckpoint(1, other).status()));
  std::erase_if(up.store.objects,
                [&](const auto& object) { return object.first.starts_with(prefix + "parts/"); });
  CHECK(absl::IsDataLoss(up.objects.FetchCheckpoint(1, other).status()));
  up.store.objects[prefix + "checkpoints/00000001"] = "no manifest";
  CHECK(absl::IsDataLoss(up.objects.FetchCheckpoint(1, other).status()));
  REQUIRE(up.objects.PutAside(1).ok());
  CHECK(up.Steps().empty());
  CHECK(up.store.objects.contains(prefix + "corrupt/00000001"));
  CHECK(absl::IsNotFound(up.objects.FetchCheckpoint(1, other).status()));
}

TEST_CASE("objects: names of others lead to no path of ours", "[unit]") {
  Uploaded up;
  const std::string prefix = absl::StrCat("experiments/", kUid, "/");
  for (const char* name : {"../../etc/passwd", "a b", "checkpoints/x", "checkpoints/000000012",
                           "artifacts/evaluation/ok.binpb"})
    up.store.objects[prefix + name] = "x";
  REQUIRE(up.objects.Look().ok());
  CHECK(up.objects.Steps().empty());
  CHECK(up.objects.files().size() == 1);
  REQUIRE(up.objects.DeleteAll().ok());
}

}  // namespace mentor::meta_learner::TEST_FILE
