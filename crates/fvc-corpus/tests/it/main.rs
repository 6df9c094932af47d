//! Integration tests of fvc-corpus through its public face.

mod split;
