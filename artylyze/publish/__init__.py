"""What a catalog shows to people: pictures, pages, exports."""
