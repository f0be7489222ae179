"""Exercises of the course: starter files, and the checks that a solution passes."""
