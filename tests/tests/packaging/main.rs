//! What is tested of the Helm chart, and of the archives of images: one test for each promise.

mod archives;
mod cases;
mod contradictions;
mod generated;
mod install;
mod monitoring;
mod operator;
mod pods;
mod reasons;
mod render;
mod scripts;
