//! Random histories beside a model that remembers what is on each page.

mod figures;
mod model;
mod rules;
