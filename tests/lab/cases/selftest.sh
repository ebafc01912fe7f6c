# shellcheck shell=dash
# kiln's own checks of the host and of itself, on a host that has it all.

doctor() {
    kiln doctor
    kiln doctor --can-run linux
    kiln doctor --json | grep -q '"svm"'
}

it "doctor: fit for Linux, on SVM" doctor
it "the self-test passes" kiln selftest
