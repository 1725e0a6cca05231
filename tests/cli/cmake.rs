//! Images in a CMake build: rebuilt exactly when one of their inputs changes.
//!
//! The CMakeLists.txt is that of the documentation, with the `slimpack.cmake` that `slimpack help` prints.

use crate::{common, recipes};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use common::{compile, have, output, slimpack, succeed, temporary, text};
use recipes::{path_with_slimpack, readme_block};

const GENERATORS: [&str; 2] = ["Ninja", "Unix Makefiles"];

/// A program that links a library of the project, which loads one that was there before.
struct CmakeProject {
    folder: tempfile::TempDir,
}

impl CmakeProject {
    fn new(recipe: &str) -> Self {
        let folder = temporary();
        let project = Self { folder };
        let include = succeed(slimpack().args(["help", "slimpack.cmake"]));
        project.write("slimpack.cmake", &include);
        project.prebuilt(1);
        project.write("own.c", "int old(void); int own(void) { return old(); }");
        project.write("app.c", "int own(void); int main(void) { return own(); }");
        let old = project.at("libold.so.1");
        let head = format!(
            "cmake_minimum_required(VERSION 3.21)\nproject(app C)\nadd_library(own SHARED own.c)\n\
             target_link_libraries(own PRIVATE {})\nadd_executable(app app.c)\n\
             target_link_libraries(app PRIVATE own)\n",
            old.display()
        );
        project.write("CMakeLists.txt", &format!("{head}{recipe}"));
        project
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap();
    }

    /// A library that CMake does not build.
    fn prebuilt(&self, number: u8) {
        let source = format!("int old(void) {{ return {number}; }}");
        let flags = ["-shared", "-fPIC", "-Wl,-soname,libold.so.1"];
        compile(self.folder.path(), "libold.so.1", &source, &flags);
    }

    fn cmake(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("cmake");
        command.current_dir(self.folder.path()).args(arguments);
        command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        output(command.env("PATH", path_with_slimpack(self.folder.path())))
    }

    fn configured(&self, generator: &str) -> Output {
        self.cmake(&["-G", generator, "-B", "build", "."])
    }

    /// Builds, and returns whether slimpack was run.
    fn packs(&self) -> bool {
        let built = self.cmake(&["--build", "build", "-v"]);
        assert!(built.status.success(), "{}", text(&built));
        text(&built).contains("--depfile ")
    }

    fn changed(&self, path: &str) -> SystemTime {
        fs::metadata(self.at(path)).unwrap().modified().unwrap()
    }
}

/// Longer than the granularity of file timestamps.
fn tick() {
    std::thread::sleep(std::time::Duration::from_millis(20));
}

fn touch(path: &Path) {
    tick();
    succeed(Command::new("touch").arg(path));
}

#[test]
fn cmake_packs_anew_when_an_input_changes_and_only_then() {
    if !have(&["cmake", "ninja", "make"]) {
        return;
    }
    let recipe = readme_block("cmake", "slimpack_image");
    for generator in GENERATORS {
        let project = CmakeProject::new(&recipe);
        let configured = project.configured(generator);
        assert!(configured.status.success(), "{}", text(&configured));
        assert!(project.packs(), "{generator}");
        let image = project.at("build/app.tar");
        let listed = || succeed(slimpack().args(["inspect", "--files"]).arg(&image));
        for name in ["app", "libown.so", "libold.so.1"] {
            assert!(listed().contains(name), "{generator}: {name}: {}", listed());
        }
        assert_eq!(common::image_config(&image)["config"]["User"], "1000");
        assert!(!project.packs(), "{generator}: nothing has changed");
        let before = (project.changed("build/app.tar"), fs::read(&image).unwrap());
        touch(&project.at("libold.so.1"));
        assert!(project.packs(), "{generator}: a library was touched");
        // Ninja alone learns from the time of the image that it is the same.
        let is_same = project.changed("build/app.tar") == before.0;
        assert_eq!(is_same, generator == "Ninja", "{generator}");
        assert!(!project.packs(), "{generator}: nothing has changed");
        tick();
        project.prebuilt(2);
        assert!(project.packs(), "{generator}: a library was replaced");
        assert!(fs::read(&image).unwrap() != before.1, "{generator}");
        touch(&project.at("own.c"));
        assert!(project.packs(), "{generator}: a library was built anew");
        touch(&project.at("slimpack.toml"));
        assert!(!project.packs(), "{generator}: something else appeared");
        // The image is missed, too.
        fs::remove_file(&image).unwrap();
        assert!(project.packs() && image.exists(), "{generator}");
    }
}

#[test]
fn outputs_options_and_dependencies_are_passed_on() {
    if !have(&["cmake", "ninja", "make"]) {
        return;
    }
    let recipe = "
        include(slimpack.cmake)
        file(MAKE_DIRECTORY images)
        add_custom_command(OUTPUT data.txt COMMAND echo made > data.txt)
        slimpack_image(TARGET app OUTPUT images/one.tar
            OPTIONS --label \"two words=a;b $HOME\" --add data.txt:/srv/data.txt DEPENDS data.txt)
    ";
    for generator in GENERATORS {
        // Words of a list are words for slimpack, whatever a shell would make of them.
        let project = CmakeProject::new(&recipe.replace("a;b", "a b"));
        fs::create_dir_all(project.at("build/images")).unwrap();
        project.configured(generator);
        assert!(project.packs(), "{generator}");
        let image = project.at("build/images/one.tar");
        let config = common::image_config(&image);
        assert_eq!(config["config"]["Labels"]["two words"], "a b $HOME");
        assert!(common::layer(&image).contains_key("srv/data.txt"));
        assert!(!project.packs(), "{generator}");
    }
}

#[test]
fn what_cmake_cannot_pack_is_an_error() {
    if !have(&["cmake", "ninja", "make"]) {
        return;
    }
    for (call, more, says) in [
        ("slimpack_image()", "-DX=1", "no TARGET"),
        ("slimpack_image(TARGET app -u 1000)", "-DX=1", "-u;1000"),
        (
            "slimpack_image(TARGET app)",
            "-DSLIMPACK=",
            "slimpack was not found",
        ),
    ] {
        let project = CmakeProject::new(&format!("include(slimpack.cmake)\n{call}\n"));
        let mut said = project.cmake(&["-G", "Ninja", "-B", "build", more, "."]);
        said.stderr.retain(|byte| *byte != b'\n');
        assert!(!said.status.success(), "{call}");
        assert!(text(&said).contains(says), "{call}: {}", text(&said));
    }
    // A failed pack leaves no image, and the next build tries again.
    let project = CmakeProject::new(
        "include(slimpack.cmake)\nslimpack_image(TARGET app OPTIONS --add gone:/gone)\n",
    );
    project.configured("Ninja");
    for _ in 0..2 {
        let built = project.cmake(&["--build", "build"]);
        assert!(!built.status.success() && text(&built).contains("gone"));
        assert!(!project.at("build/app.tar").exists());
    }
}
