"""A test target for a pytest file: the runner, the shared fixtures and the file's name."""

load("@rules_python//python:defs.bzl", "py_test")

def pytest_tests(deps, data = []):
    """One target for each test_*.py of the calling package.

    Args:
        deps: libraries that the tests import.
        data: files that the tests read.
    """
    for file in native.glob(["test_*.py"]):
        py_test(
            name = file[:-len(".py")],
            size = "medium",
            srcs = [
                file,
                "//tests:backbone_nets.py",
                "//tests:chromium.py",
                "//tests:conftest.py",
                "//tests:doc_pages.py",
                "//tests:fake_program.py",
                "//tests:fault_injection.py",
                "//tests:flatbuffer_fields.py",
                "//tests:estimator_equations.py",
                "//tests:fuzzing.py",
                "//tests:harness.py",
                "//tests:hostile_images.py",
                "//tests:run_pytest.py",
                "//tests:sample_curation.py",
                "//tests:sample_files.py",
                "//tests:sample_folders.py",
                "//tests:sample_images.py",
                "//tests:sample_report.py",
                "//tests:sample_representations.py",
                "//tests:serving_substitute.py",
                "//tests:sgd_steps.py",
                "//tests:small_backbone.py",
                "//tests:small_baseline.py",
                "//tests:small_export.py",
                "//tests:small_infomax.py",
            ],
            args = ["$(location {})".format(file)],
            data = [file, "//:pyproject.toml"] + data,
            # Else tests/keras_models would become a package, which hides the real one.
            legacy_create_init = False,
            main = "//tests:run_pytest.py",
            deps = deps,
        )
