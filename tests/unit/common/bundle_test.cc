#include "common/bundle.h"

#include <fstream>

#include <sys/stat.h>

#include "common/hash.h"
#include "common/status.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

using mentor::testing::TempFolder;
namespace fs = std::filesystem;

void Put(const fs::path& path, const std::string& contents) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << contents;
}

// A model with a mesh in a folder, a text without a byte, and names that sort by bytes.
fs::path MakeExample(const fs::path& folder) {
  Put(folder / "robot.xml", "<mujoco/>");
  Put(folder / "meshes/arm.stl", std::string("solid\0arm", 9));
  Put(folder / "meshes-low/arm.stl", "low");
  Put(folder / "empty.txt", "");
  return folder;
}

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

TEST_CASE("bundle: its name is the digest of one sorted line for each file", "[unit]") {
  const TempFolder folder;
  const auto manifest = ReadBundle(MakeExample(folder.path() / "a"));
  REQUIRE(manifest.ok());
  std::vector<std::string> paths;
  for (const BundleFile& file : manifest->files) paths.push_back(file.path);
  CHECK(paths ==
        std::vector<std::string>{"empty.txt", "meshes-low/arm.stl", "meshes/arm.stl", "robot.xml"});
  CHECK(manifest->bytes() == 21);
  // The same by sha256sum and printf in a shell.
  CHECK(manifest->digest ==
        Sha256Hex(Sha256Hex("") + " 0 empty.txt\n" + Sha256Hex("low") + " 3 meshes-low/arm.stl\n" +
                  Sha256Hex(std::string_view("solid\0arm", 9)) + " 9 meshes/arm.stl\n" +
                  Sha256Hex("<mujoco/>") + " 9 robot.xml\n"));
  CHECK(manifest->digest == "5b1aba1faf4c531b042f7eef34a9de14c9b27abc4f67c1858815a56402b0bb5f");
  CHECK(CheckManifest(*manifest).empty());
  // Neither times, rights nor folders without files count.
  MakeExample(folder.path() / "b");
  fs::create_directories(folder.path() / "b/nothing");
  fs::permissions(folder.path() / "b/robot.xml", fs::perms::owner_read);
  CHECK(*ReadBundle(folder.path() / "b") == *manifest);
  Put(folder.path() / "b/empty.txt", "x");
  CHECK(ReadBundle(folder.path() / "b")->digest != manifest->digest);
}

TEST_CASE("bundle: people know it by its model and some digits", "[unit]") {
  BundleManifest manifest{.files = {}, .digest = Sha256Hex("x")};
  const auto add = [&](const char* path) {
    manifest.files.push_back({.path = path, .bytes = 0, .sha256 = Sha256Hex("")});
  };
  add("arm.obj");
  add("meshes/hand.xml");
  CHECK(BundleTitle(manifest) == "sha256:" + Sha256Hex("x"));
  add("robot.xml");
  add("scene.xml");
  CHECK(BundleTitle(manifest) == "robot.xml (sha256:" + Sha256Hex("x").substr(0, 12) + ")");
}

TEST_CASE("bundle: names are sha256 and 64 digits and nothing else", "[unit]") {
  const std::string digest = Sha256Hex("x");
  CHECK(BundleName(digest) == "sha256:" + digest);
  CHECK(*ParseBundleName("sha256:" + digest) == digest);
  std::string upper = digest;
  upper[0] = 'A';
  for (const std::string& name :
       {std::string(), digest, "sha1:" + digest, "sha256:" + digest + "0",
        "sha256:" + digest.substr(1), "sha256:" + upper, "sha256:../" + digest.substr(3)}) {
    INFO(name);
    CHECK(ParseBundleName(name).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("bundle: everything that it cannot hold is named at once", "[unit]") {
  const TempFolder folder;
  Put(folder.path() / "secret", "key");
  const auto bundle = MakeExample(folder.path() / "a");
  fs::create_symlink("../secret", bundle / "leak.txt");
  fs::create_symlink("gone", bundle / "nothing.txt");
  fs::create_symlink("meshes", bundle / "again");
  REQUIRE(mkfifo((bundle / "pipe").c_str(), 0600) == 0);
  Put(bundle / "line\nend", "x");
  Put(bundle / "back\\slash", "x");
  const auto read = ReadBundle(bundle);
  REQUIRE(read.status().code() == absl::StatusCode::kInvalidArgument);
  const std::string message = Message(read.status());
  for (const char* part :
       {"leak.txt: is a symbolic link that leaves the folder",
        "nothing.txt: is a symbolic link to nothing", "again: is a symbolic link to a folder",
        "pipe: is not a regular file", "line end: has characters", "back\\slash: has characters"}) {
    INFO(message);
    CHECK(message.find(part) != message.npos);
  }
  CHECK(ReadBundle(folder.path() / "none").status().code() == absl::StatusCode::kNotFound);
  fs::create_directories(folder.path() / "bare");
  CHECK(Message(ReadBundle(folder.path() / "bare").status()) ==
        "bundle: has no file; give a folder with at least one");
}

TEST_CASE("bundle: a link to a file within the folder is that file", "[unit]") {
  const TempFolder folder;
  const auto linked = MakeExample(folder.path() / "linked");
  fs::create_symlink("meshes/arm.stl", linked / "arm.stl");
  const auto copied = MakeExample(folder.path() / "copied");
  fs::copy_file(copied / "meshes/arm.stl", copied / "arm.stl");
  CHECK(*ReadBundle(linked) == *ReadBundle(copied));
  // The folder itself may be reached through one.
  fs::create_symlink(linked, folder.path() / "way");
  CHECK(*ReadBundle(folder.path() / "way") == *ReadBundle(copied));
}

TEST_CASE("bundle: too many files or bytes are refused before they are read", "[unit]") {
  const TempFolder folder;
  const auto many = folder.path() / "many";
  for (size_t i = 0; i <= kBundleFilesMax; ++i) Put(many / std::to_string(i), "");
  CHECK(Message(ReadBundle(many).status()) ==
        "bundle: has more than 2000 files; leave some out, or pack them");
  fs::remove(many / "0");
  CHECK(ReadBundle(many).ok());
  const auto large = folder.path() / "large";
  Put(large / "a", "");
  fs::resize_file(large / "a", kBundleBytesMax + 1);  // Sparse.
  CHECK_THAT(Message(ReadBundle(large).status()),
             Catch::StartsWith("bundle: has 256000001 bytes; at most 256000000 (256 MB)"));
  Put(folder.path() / "long" / std::string(128, 'd') / std::string(128, 'f'), "");
  CHECK_THAT(Message(ReadBundle(folder.path() / "long").status()),
             Catch::Contains("has 257 bytes; at most 255 are allowed"));
}

TEST_CASE("bundle: manifests from elsewhere are checked before anything is written", "[unit]") {
  const TempFolder folder;
  const auto good = ReadBundle(MakeExample(folder.path() / "a"));
  REQUIRE(good.ok());
  const auto complaints = [](BundleManifest manifest, bool named_anew = true) {
    if (named_anew) manifest.digest = BundleDigest(manifest.files);
    return Message(CheckManifest(manifest).ToStatus());
  };
  CHECK(complaints(*good).empty());
  for (const char* path :
       {"../a", "/etc/passwd", "a/../b", "./a", "a//b", "a/", "", "a\nb", ".."}) {
    INFO(path);
    BundleManifest bad;
    bad.files = {{.path = path, .bytes = 1, .sha256 = Sha256Hex("x")}};
    CHECK_THAT(complaints(bad), Catch::StartsWith("files[0].path: "));
  }
  BundleManifest bad = *good;
  bad.files[1].bytes = ~uint64_t{0};
  CHECK_THAT(complaints(bad), Catch::Contains("at most 256000000"));
  bad = *good;
  bad.files[0].path = "";
  CHECK_THAT(complaints(bad), Catch::StartsWith("files[0].path: is empty; give it a name"));
  bad = *good;
  std::swap(bad.files[0], bad.files[1]);
  CHECK_THAT(complaints(bad), Catch::StartsWith("files[1].path: 'empty.txt' stands after"));
  bad = *good;
  bad.files.push_back(bad.files.back());
  CHECK_THAT(complaints(bad), Catch::StartsWith("files[4].path: "));
  bad = *good;
  bad.files[0].sha256 = "0";
  CHECK_THAT(complaints(bad), Catch::StartsWith("files[0].sha256: "));
  bad = *good;
  bad.digest[0] = bad.digest[0] == '0' ? '1' : '0';
  CHECK_THAT(complaints(bad, false), Catch::StartsWith("digest: is '"));
  bad.files = {{.path = "a", .bytes = 0, .sha256 = Sha256Hex("")},
               {.path = "a-b", .bytes = 0, .sha256 = Sha256Hex("")},
               {.path = "a/b", .bytes = 0, .sha256 = Sha256Hex("")}};
  CHECK(complaints(bad) == "a/b: lies in 'a', which is a file; remove one");
  CHECK_THAT(complaints({}), Catch::StartsWith("bundle: has no file"));
}

TEST_CASE("bundle: folders are bounded in lists from elsewhere as in folders", "[unit]") {
  BundleManifest manifest;
  for (int i = 0; i < 1001; ++i) {
    manifest.files.push_back(
        {.path = "a" + std::to_string(10'000 + i) + "/b/c", .bytes = 0, .sha256 = Sha256Hex("")});
  }
  manifest.digest = BundleDigest(manifest.files);
  CHECK(Message(CheckManifest(manifest).ToStatus()) ==
        "bundle: has more than 2000 folders; give the folder of one model");
  manifest.files.pop_back();
  manifest.digest = BundleDigest(manifest.files);
  CHECK(CheckManifest(manifest).empty());
  // Each counts once, even if other names lie between.
  manifest.files = {{.path = "a-b/f", .bytes = 1, .sha256 = Sha256Hex("x")},
                    {.path = "a/b/f", .bytes = 1, .sha256 = Sha256Hex("x")},
                    {.path = "a/b/g", .bytes = 1, .sha256 = Sha256Hex("x")},
                    {.path = "a/bc/f", .bytes = 1, .sha256 = Sha256Hex("x")}};
  // Four files and a-b, a, a/b, a/bc and the folder of all.
  CHECK(manifest.disk_bytes() == 4 + 9 * 4096);
}

TEST_CASE("bundle: version control, swap files and backups are left out and named", "[unit]") {
  const TempFolder folder;
  const auto plain = ReadBundle(MakeExample(folder.path() / "plain"));
  REQUIRE(plain.ok());
  const auto used = MakeExample(folder.path() / "used");
  Put(used / ".git/objects/ab/line\nend", "x");  // The check does not look into it.
  for (const char* name : {"robot.xml~", ".robot.xml.swp", "meshes/#arm.stl#", "task.bak"})
    Put(used / name, "x");
  fs::create_symlink("ann@host.1:2", used / ".#robot.xml");  // A lock of Emacs: to nothing.
  std::vector<std::string> left_out;
  const auto manifest = ReadBundle(used, &left_out);
  REQUIRE(manifest.ok());
  CHECK(*manifest == *plain);
  CHECK(left_out == std::vector<std::string>{".#robot.xml", ".git/", ".robot.xml.swp",
                                             "meshes/#arm.stl#", "robot.xml~", "task.bak"});
  CHECK(LeftOutText("used", left_out) ==
        "used: left out of the bundle: .#robot.xml, .git/, .robot.xml.swp, "
        "meshes/#arm.stl#, robot.xml~ and 1 more");
  CHECK(LeftOutText("used", {}).empty());
  CHECK(VerifyBundle(used, plain->digest).ok());
  for (const char* name : {".gitignore", "a.swp", ".config", "#", "swim.xml", ".x.sw1"})
    CHECK_FALSE(IsLeftOutOfBundles(name));
  // A list from elsewhere may have them.
  BundleManifest other;
  other.files = {{.path = "robot.xml~", .bytes = 1, .sha256 = Sha256Hex("x")}};
  other.digest = BundleDigest(other.files);
  const auto to = folder.path() / "other";
  REQUIRE(WriteBundle(
              other, [](uint64_t) { return std::string("x"); }, to)
              .ok());
  CHECK(*VerifyBundle(to, other.digest) == other);
}

TEST_CASE("bundle: nothing is left of what is not wanted any more", "[unit]") {
  const TempFolder folder;
  const auto from = MakeExample(folder.path() / "a");
  const auto manifest = ReadBundle(from);
  REQUIRE(manifest.ok());
  // Files without a byte are work, too.
  BundleManifest empty;
  for (int i = 0; i < 100; ++i) {
    empty.files.push_back({.path = std::to_string(1000 + i), .bytes = 0, .sha256 = Sha256Hex("")});
  }
  empty.digest = BundleDigest(empty.files);
  for (const BundleManifest& each : {*manifest, empty}) {
    const auto to = folder.path() / "b";
    int asked = 0;
    const absl::Status status = WriteBundle(each, FolderSource(from, each), to, [&] {
      return ++asked < 3 ? absl::OkStatus() : absl::CancelledError("gone");
    });
    CHECK(absl::IsCancelled(status));
    CHECK(asked == 3);
    CHECK_FALSE(fs::exists(to));
  }
}

TEST_CASE("bundle: written in pieces of any size it is the same bundle", "[unit]") {
  const TempFolder folder;
  const auto from = MakeExample(folder.path() / "a");
  const auto manifest = ReadBundle(from);
  REQUIRE(manifest.ok());
  for (const size_t piece : {1, 2, 3, 9, 12, 21, 1 << 20}) {
    INFO(piece);
    const auto to = folder.path() / ("b" + std::to_string(piece));
    REQUIRE(WriteBundle(*manifest, FolderSource(from, *manifest, piece), to).ok());
    const auto read = VerifyBundle(to, manifest->digest);
    REQUIRE(read.ok());
    CHECK(*read == *manifest);
    CHECK(WriteBundle(*manifest, FolderSource(from, *manifest, piece), to).code() ==
          absl::StatusCode::kAlreadyExists);
  }
}

TEST_CASE("bundle: bytes that are not the manifest's leave nothing behind", "[unit]") {
  const TempFolder folder;
  const auto from = MakeExample(folder.path() / "a");
  const auto manifest = ReadBundle(from);
  REQUIRE(manifest.ok());
  const auto to = folder.path() / "b";
  const auto all = FolderSource(from, *manifest)(0);
  REQUIRE(all.ok());
  const auto write = [&](std::string bytes) {
    const absl::Status status = WriteBundle(
        *manifest, [&](uint64_t offset) { return bytes.substr(offset); }, to);
    CHECK_FALSE(fs::exists(to));
    return status;
  };
  std::string changed = *all;
  changed[4] ^= 1;
  CHECK_THAT(Message(write(changed)), Catch::StartsWith("meshes/arm.stl of sha256:"));
  CHECK_THAT(Message(write(*all + "x")), Catch::Contains("more bytes than its manifest says"));
  CHECK_THAT(Message(write(all->substr(0, 20))), Catch::Contains("ended after 20 of its 21 bytes"));
  const absl::Status failed = WriteBundle(
      *manifest, [](uint64_t) { return absl::UnavailableError("no peer"); }, to);
  CHECK(failed.code() == absl::StatusCode::kUnavailable);
  CHECK_FALSE(fs::exists(to));
}

TEST_CASE("bundle: a folder that changed is another bundle", "[unit]") {
  const TempFolder folder;
  const auto path = MakeExample(folder.path() / "a");
  const auto manifest = ReadBundle(path);
  REQUIRE(manifest.ok());
  Put(path / "robot.xml", "<mujoco>");
  const auto changed = VerifyBundle(path, manifest->digest);
  CHECK(changed.status().code() == absl::StatusCode::kDataLoss);
  CHECK_THAT(Message(changed.status()), Catch::Contains("is not sha256:" + manifest->digest));
  CHECK(FolderSource(path, *manifest)(0).status().code() == absl::StatusCode::kDataLoss);
  CHECK(VerifyBundle(folder.path() / "none", manifest->digest).status().code() ==
        absl::StatusCode::kNotFound);
}

}  // namespace mentor::TEST_FILE
