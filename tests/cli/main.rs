//! The program as its users meet it: what it prints, what it writes, how it ends. Needs an adapter; a software one will do.

mod errors;
mod experiments;
mod inspect;
mod runs;
mod support;
