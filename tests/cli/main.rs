//! The program as its users meet it: what it prints, what it writes, how it ends. Needs an adapter; a software one will do.

mod data;
mod errors;
mod experiments;
mod fetch;
mod folders;
mod inspect;
mod memory;
mod runs;
mod server;
mod study;
mod support;
mod tuning;
