//! How units travel from one source to many sinks, and the control stream beside them.
